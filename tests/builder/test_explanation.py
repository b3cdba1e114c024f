"""``explain``: from each file of an image to the process, option or part that added it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import compile_library, make_root, make_run

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.explanation import explain
from slimtrace.builder.model import BuildPart, Keep, KeptPath, ProcessImages
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.tracer.trace.trace import ProcessImage, State, Trace, TracedPath, Use

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from slimtrace.builder.model import Because, Selection

TREE = {
    "/lib": "-> usr/lib",
    "/usr/lib/libone.so": "",
    "/usr/lib/libtwo.so": "",
    "/usr/lib/libc.so.6": "",
    "/usr/lib/libnss_files.so.2": "",
    "/usr/bin/app": "",
    "/usr/bin/script": "#!/bin/sh\n",
    "/bin/sh": "-> ../usr/bin/dash",
    "/usr/bin/dash": "sh",
    "/etc/nsswitch.conf": "hosts: files\n",
    "/etc/os-release": "ID=x\n",
    "/srv/web/index.html": "hello",
    "/srv/web/extra.html": "more",
    "/app/main.py": "def late():\n    import helper\n",
    "/app/helper.py": "import base\n",
    "/app/base.py": "",
    "/srv/current": "-> web",
    "/data": None,
}
TOUCHED = {
    "/usr/bin/app": (Use.EXEC, (1,)),
    "/usr/bin/script": (Use.EXEC, (2,)),
    "/app/main.py": (Use.READ, (1, 3)),
    "/etc/nsswitch.conf": (Use.READ, (1,)),
    "/srv/current/index.html": (Use.READ, (1,)),
    "/srv/web/index.html": (Use.STAT, (3,)),
}


def build(tmp_path: Path, options: BuildOptions | None = None) -> Selection:
    top = make_root(tmp_path / "root", TREE)
    lib = top / "usr/lib"
    link = (f"-L{lib}", "-Wl,--unresolved-symbols=ignore-all")
    compile_library(lib / "libc.so.6", "-Wl,-soname,libc.so.6")
    compile_library(lib / "libnss_files.so.2", "-Wl,-soname,libnss_files.so.2")
    compile_library(lib / "libtwo.so", "-Wl,-soname,libtwo.so", "-l:libc.so.6", *link)
    compile_library(lib / "libone.so", "-Wl,-soname,libone.so", "-ltwo", *link)
    compile_library(
        top / "usr/bin/app", "-pie", "-Wl,-rpath,/lib", "-Wl,--dynamic-linker=/ld", "-lone", *link
    )
    (top / "usr/bin/script").chmod(0o755)
    root = Root(str(top))
    paths = {}
    for path, (use, processes) in TOUCHED.items():
        fingerprint = root.fingerprint(root.resolve(path).path)
        uses = frozenset({use})
        paths[path] = TracedPath(path, State.FILE, uses, processes, 0.0, fingerprint)
    created = frozenset({Use.CREATE})
    paths["/data/log"] = TracedPath("/data/log", State.CREATED, created, (2,), 0.0, None)
    first = ProcessImage(1, None, 0, "/usr/bin/app", ("app",))
    trace = Trace((make_run(top, cwd="/srv"),), (first,), paths, {})
    return select(trace, root, options or BuildOptions())


def chain(selection: Selection, path: str) -> list[str]:
    """``path reason`` for each step of a chain, and then its end."""
    links = explain(selection, path)
    return [f"{link.path} {link.cause.reason}" for link in links] + [
        _end(link.cause.because) for link in links[-1:]
    ]


def _end(because: Because) -> str:
    match because:
        case ProcessImages(ids):
            return f"processes {', '.join(map(str, ids))}"
        case BuildPart(name):
            return name
        case KeptPath(path):
            raise AssertionError(path)


APP = ["/usr/bin/app touched", "processes 1"]
MAIN = ["/app/main.py touched", "processes 1, 3"]

CHAINS: dict[str, Sequence[str]] = {
    "/usr/bin/app": APP,
    "/usr/lib/libone.so": ["/usr/lib/libone.so needed-library", *APP],
    "/usr/lib/libtwo.so": [
        *("/usr/lib/libtwo.so needed-library", "/usr/lib/libone.so needed-library"),
        *APP,
    ],
    "/lib": ["/lib symlink", "/usr/lib/libone.so needed-library", *APP],
    "/usr/lib/libnss_files.so.2": [
        "/usr/lib/libnss_files.so.2 nss-module",
        "/etc/nsswitch.conf touched",
        "processes 1",
    ],
    "/app/helper.py": ["/app/helper.py python-import", *MAIN],
    "/app/base.py": [
        *("/app/base.py python-import", "/app/helper.py python-import"),
        *MAIN,
    ],
    "/usr/bin/dash": [
        "/usr/bin/dash script-interpreter",
        "/usr/bin/script touched",
        "processes 2",
    ],
    "/bin/sh": [
        *("/bin/sh symlink", "/usr/bin/dash script-interpreter", "/usr/bin/script touched"),
        "processes 2",
    ],
    "/srv/web/index.html": ["/srv/web/index.html touched", "processes 1, 3"],
    "/srv/current": ["/srv/current symlink", "/srv/web/index.html touched", "processes 1, 3"],
    "/srv/web": ["/srv/web directory", "/srv/web/index.html touched", "processes 1, 3"],
    "/srv": ["/srv touched", "processes 1"],
    "/data": ["/data parent-of-created", "processes 2"],
    "/etc/os-release": ["/etc/os-release release", "baseline: release"],
    "/etc/passwd": ["/etc/passwd accounts", "baseline: accounts"],
    "/proc": ["/proc skeleton", "skeleton"],
    "/nowhere": [],
}


def test_each_chain_ends_where_the_file_comes_from(tmp_path: Path) -> None:
    selection = build(tmp_path, BuildOptions(keep=Keep.CLOSURE))
    assert {path: chain(selection, path) for path in CHAINS} == CHAINS


def test_every_entry_has_a_chain_of_kept_paths(tmp_path: Path) -> None:
    selection = build(tmp_path, BuildOptions(include=("/srv/**",)))
    for path in selection.entries:
        links = explain(selection, path)
        assert links, path
        assert {link.path for link in links} <= selection.entries.keys()


def test_an_included_file_names_its_pattern(tmp_path: Path) -> None:
    selection = build(tmp_path, BuildOptions(include=("/srv/*/extra.*",)))
    path = "/srv/web/extra.html"
    assert chain(selection, path) == [f"{path} included", "--include '/srv/*/extra.*'"]


@pytest.mark.parametrize("path", ["/usr/lib/libone.so", "/usr/lib/libtwo.so"])
def test_a_chain_passes_through_what_was_dropped_later(tmp_path: Path, path: str) -> None:
    selection = build(tmp_path, BuildOptions(exclude=("/usr/lib/libone.so",)))
    assert (path in selection.entries) is path.endswith("two.so")
    assert chain(selection, path) == CHAINS[path]
