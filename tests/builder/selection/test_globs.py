"""--include and --exclude: what a pattern matches, and why it matches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import describe_selection, make_context, make_root, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.model import Keep, Selection
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.builder.selection.globs import add_included, compile_glob

if TYPE_CHECKING:
    from pathlib import Path

TREE = {
    "/app/a.py": "a",
    "/app/b.txt": "b",
    "/app/sub/c.py": "c",
    "/app/sub/deep/d.py": "d",
    "/app/.hidden": "h",
    "/lib": "-> usr/lib",
    "/usr/lib/x.so": "x",
    "/usr/lib/x.so.1": "y",
    "/usr/lib/[odd]": "o",
    "/proc/1/x": "x",
    "/run/app.pid": "1",
    "/etc/hosts": "h",
}


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        (
            "/app",
            ["/app/.hidden", "/app/a.py", "/app/b.txt", "/app/sub/c.py", "/app/sub/deep/d.py"],
        ),
        (
            "/app/",
            ["/app/.hidden", "/app/a.py", "/app/b.txt", "/app/sub/c.py", "/app/sub/deep/d.py"],
        ),
        ("/app/*.py", ["/app/a.py"]),
        ("/app/**/*.py", ["/app/a.py", "/app/sub/c.py", "/app/sub/deep/d.py"]),
        ("/app/s*", ["/app/sub/c.py", "/app/sub/deep/d.py"]),
        ("/app/sub/**", ["/app/sub/c.py", "/app/sub/deep/d.py"]),
        ("/app/?.[pt]*", ["/app/a.py", "/app/b.txt"]),
        ("/app/[!a].*", ["/app/b.txt"]),
        ("/app/**/deep", ["/app/sub/deep/d.py"]),
        ("/lib/x.so", ["/usr/lib/x.so"]),
        ("/lib/x.so*", ["/usr/lib/x.so", "/usr/lib/x.so.1"]),
        ("/usr/lib/[[]odd]", ["/usr/lib/[odd]"]),
        ("/**/x.so", ["/usr/lib/x.so"]),
        ("/run/app.pid", ["/run/app.pid"]),
        ("/etc/hosts", ["/etc/hosts"]),
    ],
)
def test_include_and_exclude_take_the_same(tmp_path: Path, pattern: str, taken: list[str]) -> None:
    top = make_root(tmp_path / "root", TREE)
    root = Root(str(top))
    kept = select(make_trace(top, []), root, BuildOptions(include=(pattern,)))
    files = [path for path, line in describe_selection(kept).items() if line.startswith("file")]
    assert files == taken
    assert kept.warnings == ()
    glob = compile_glob(root, pattern)
    every = [path for path in TREE if path not in {"/lib", "/proc/1/x"}]
    assert sorted(path for path in every if glob.matches(path)) == taken
    both = BuildOptions(include=("/**",), exclude=(pattern,))
    left = describe_selection(select(make_trace(top, []), root, both))
    assert not set(left) & set(taken)
    assert {path for path in every if path not in taken} <= set(left)


@pytest.mark.parametrize(
    ("pattern", "cause"),
    [
        ("app/*.py", "patterns are absolute paths in the image"),
        ("/nowhere/*", "there is no /nowhere in the full image"),
        ("/app/*/d.py", "'*' does not cross '/', use '**'"),
        ("/usr/*.so", "'*' does not cross '/', use '**'"),
        ("/app/*.rs", "nothing in /app has such a name"),
        ("/proc/1/*", "what is in /proc, /sys, /dev comes from the kernel"),
    ],
)
def test_an_include_that_matches_nothing_says_why(tmp_path: Path, pattern: str, cause: str) -> None:
    top = make_root(tmp_path / "root", TREE)
    found = add_included(Selection({}), make_context(top, BuildOptions(include=(pattern,))))
    assert found.seeds == ()
    (warning,) = found.warnings
    assert warning.partition("; ")[0] == f"--include '{pattern}' matches nothing: {cause}"


def test_exclude_wins_says_so_and_leaves_a_tree(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", TREE)
    options = BuildOptions(
        include=("/app",), exclude=("/app/sub", "app", "/usr/none"), keep=Keep.CLOSURE
    )
    selection = select(make_trace(top, ["/app/sub/c.py"]), Root(str(top)), options)
    assert describe_selection(selection) == {
        "/app": "directory 0755 included,directory",
        "/app/.hidden": "file 0644 included",
        "/app/a.py": "file 0644 included",
        "/app/b.txt": "file 0644 included",
    }
    dropped = {item.path: item.why for item in selection.dropped}
    assert dropped["/app/sub/c.py"] == "--exclude '/app/sub'"
    assert [warning.partition("; ")[0] for warning in selection.warnings] == [
        "--exclude 'app' matches nothing: patterns are absolute paths in the image",
        "--exclude '/usr/none' matches nothing: no such path would be in the image",
    ]


def test_excluding_all_of_a_directory_takes_the_way_to_it(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", TREE)
    options = BuildOptions(exclude=("/**/*.py",), baseline=False, keep=Keep.CLOSURE)
    selection = select(make_trace(top, ["/app/sub/deep/d.py"]), Root(str(top)), options)
    assert list(selection.entries) == ["/", "/dev", "/proc", "/run", "/sys", "/tmp"]
