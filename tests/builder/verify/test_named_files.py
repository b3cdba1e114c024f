"""Files that answers name and the slim image lacks: found from paths in URLs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slimtrace.builder.root.root import Root
from slimtrace.builder.verify.named_files import describe_named_files, find_named_files
from slimtrace.tracer.trace.trace import DriveResult, Run, State, Trace, TracedPath, Use

if TYPE_CHECKING:
    from pathlib import Path

RUN = Run(("app",), "/", "0:0", {}, "rootfs:/x", None, "now", "x86_64", "notify")
FILES = ("srv/app/main.py", "srv/app/static/a b.js", "srv/app/assets/c.css", "srv/app/d.png")


def make_trace(*targets: str) -> Trace:
    touched = ("/srv/app/main.py", "/srv/app/assets/kept.css")
    paths = {
        path: TracedPath(path, State.FILE, frozenset({Use.READ}), (1,), 0.0, None)
        for path in touched
    }
    return Trace(runs=(replace(RUN, drive_result=DriveResult(unrequested=targets)),), paths=paths)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/static/a%20b.js?v=1", "/srv/app/static/a b.js"),
        ("/d.png", "/srv/app/d.png"),
        ("/public/c.css", "/srv/app/assets/c.css"),
        ("/static/none.js", None),
        ("/static", None),
        ("/../app/d.png", None),
        ("/", None),
    ],
)
def test_a_name(tmp_path: Path, target: str, path: str | None) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    full, trace = Root(str(tmp_path)), make_trace(target)
    found = find_named_files(trace, full, ())
    assert [tuple(each) for each in found] == ([(target, path)] if path else [])
    assert find_named_files(trace, full, {str(path)}) == ()
    if found:
        assert str(describe_named_files(found)).startswith("answers name 1 file that no run asked")


def test_a_run_that_nothing_drove(tmp_path: Path) -> None:
    assert find_named_files(Trace(runs=(RUN,)), Root(str(tmp_path)), ()) == ()
