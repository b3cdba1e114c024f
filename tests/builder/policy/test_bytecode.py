"""Python images without sources: compiled files replace them, and a real Python loads them."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.model import Reason
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.model import Selection

TAG = sys.implementation.cache_tag
STAT = (Use.STAT,)
READ = (Use.READ,)


def world(top: Path, *more: str) -> Path:
    """Modules, each with its compiled file."""
    tree = {"/lib/m.py": "import pkg\nVALUE = pkg.VALUE\n", "/lib/pkg/__init__.py": "VALUE = 7\n"}
    make_root(top, {**tree, **dict.fromkeys(more, "VALUE = 1\n")})
    for path in (*tree, *more):
        py_compile.compile(str(top) + path, dfile=path, doraise=True)
    return top


def compiled_path(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.{TAG}.pyc"


def select_compiled(top: Path, uses: dict[str, tuple[Use, ...]], **options: object) -> Selection:
    there = [compiled_path(path) for path in uses if os.path.exists(f"{top}{compiled_path(path)}")]
    ran = make_trace(top, {**uses, **dict.fromkeys(there, READ)})
    chosen = BuildOptions(baseline=False, python_sources=False, **options)  # type: ignore[arg-type]
    return select(ran, Root(str(top)), chosen)


def python(selection: Selection) -> set[str]:
    return {path for path in selection.entries if path.endswith((".py", ".pyc"))}


def test_a_real_python_loads_it(tmp_path: Path) -> None:
    top = world(tmp_path / "root")
    selection = select_compiled(top, {"/lib/m.py": STAT, "/lib/pkg/__init__.py": STAT})
    assert python(selection) == {"/lib/m.pyc", "/lib/pkg/__init__.pyc"}
    assert selection.entries["/lib/m.pyc"].reasons[0] is Reason.TOUCHED
    why = {item.path: item.why for item in selection.dropped}
    assert why["/lib/m.py"] == "its compiled file replaces it"
    assert why[compiled_path("/lib/m.py")] == "it is at /lib/m.pyc"
    slim = tmp_path / "slim"
    RootfsDestination(str(slim)).write(None, selection.entries.values())  # type: ignore[arg-type]
    argv = (sys.executable, "-S", "-c", "import m; print(m.VALUE)")
    env = {"PYTHONPATH": str(slim / "lib")}
    assert subprocess.run(argv, check=True, capture_output=True, env=env).stdout == b"7\n"


def test_a_source_that_changed_since_stays(tmp_path: Path) -> None:
    """Python would never load a file that was compiled from another version of the source."""
    top = world(tmp_path / "root", "/lib/x.py", "/lib/y.py")
    (top / "lib/x.py").write_text("VALUE = 2  # of another size\n")
    os.utime(top / "lib/y.py", (1, 1))
    assert python(select_compiled(top, {"/lib/x.py": STAT, "/lib/y.py": STAT})) == {
        *("/lib/x.py", compiled_path("/lib/x.py")),
        *("/lib/y.py", compiled_path("/lib/y.py")),
    }


# summary, uses of /lib/x.py, options, files that are kept
KEPT = [
    ("what was read", READ, {}, {"/lib/x.py", compiled_path("/lib/x.py")}),
    (
        "what is asked for",
        STAT,
        {"include": ("/lib/x.py",)},
        {"/lib/x.py", compiled_path("/lib/x.py")},
    ),
    (
        "a source whose compiled file is excluded",
        STAT,
        {"exclude": ("/lib/__pycache__",)},
        {"/lib/x.py"},
    ),
]


@pytest.mark.parametrize(("uses", "options", "kept"), [case[1:] for case in KEPT],
                         ids=[case[0] for case in KEPT])  # fmt: skip
def test_what_stays(
    tmp_path: Path, uses: tuple[Use, ...], options: dict[str, object], kept: set[str]
) -> None:
    top = world(tmp_path / "root", "/lib/x.py")
    assert python(select_compiled(top, {"/lib/x.py": uses}, **options)) == kept


def test_a_source_that_a_link_leads_to_stays(tmp_path: Path) -> None:
    top = world(tmp_path / "root", "/lib/x.py")
    os.symlink("/lib/x.py", top / "lib/y.py")
    assert "/lib/x.py" in python(select_compiled(top, {"/lib/x.py": STAT, "/lib/y.py": STAT}))


def test_a_source_of_several_interpreters_stays(tmp_path: Path) -> None:
    top = world(tmp_path / "root", "/lib/x.py")
    other = top / "lib/__pycache__/x.cpython-39.pyc"
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    kept = python(
        select_compiled(top, {"/lib/x.py": STAT, "/lib/__pycache__/x.cpython-39.pyc": READ})
    )
    assert {"/lib/x.py", compiled_path("/lib/x.py")} < kept


def test_an_optimized_twin_is_the_modules_too(tmp_path: Path) -> None:
    """A compiled file can replace its source only if there is no second one."""
    top = world(tmp_path / "root", "/lib/x.py")
    plain = compiled_path("/lib/x.py")
    optimized = plain.replace(".pyc", ".opt-1.pyc")
    py_compile.compile(f"{top}/lib/x.py", f"{top}{optimized}", "/lib/x.py", doraise=True)
    both = {"/lib/x.py", plain, optimized}
    assert python(select_compiled(top, {"/lib/x.py": STAT, optimized: READ})) == both
    (top / plain[1:]).unlink()
    assert python(select_compiled(top, {"/lib/x.py": STAT, optimized: READ})) == {"/lib/x.pyc"}


def test_what_was_compiled_of_no_source_stays_where_nothing_loads_it(tmp_path: Path) -> None:
    top = world(tmp_path / "root", "/lib/x.py")
    (top / "lib/x.py").unlink()
    assert python(select_compiled(top, {compiled_path("/lib/x.py"): READ})) == {
        compiled_path("/lib/x.py")
    }


def test_a_source_without_a_compiled_file_stays(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/lib/x.py": ""})
    ran = make_trace(top, {"/lib/x.py": STAT})
    options = BuildOptions(baseline=False, python_sources=False)
    assert python(select(ran, Root(str(top)), options)) == {"/lib/x.py"}
