"""The steps of the build: pure functions, whose order a small tree shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_fixtures import make_root, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.context import Context
from slimtrace.builder.model import Selection
from slimtrace.builder.root.root import Root
from slimtrace.builder.steps import CLOSURE, POLICY, SELECTION, STEPS, run_steps
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.context import Step

TREE = {
    "/app/main.py": "import os",
    "/app/extra": "extra",
    "/app/id_rsa": "key",
    "/bin": "-> usr/bin",
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh",
    "/usr/bin/app": "#!/bin/sh\n",
    "/usr/bin/sh": "sh",
    "/data": None,
}
OPTIONS = BuildOptions(
    include=("/app/**",),
    exclude=("/app/extra",),
    grant_read=True,
    grant_write=True,
    python_sources=False,
)


def world(tmp_path: Path) -> Context:
    top = make_root(tmp_path / "root", TREE, **{"/usr/bin/app": 0o755, "/app/main.py": 0o600})
    uses = {"/bin/app": (Use.EXEC,), "/app/main.py": (Use.STAT,), "/app/id_rsa": (Use.READ,)}
    ran = make_trace(top, uses, created=["/data/log"])
    return Context(ran, Root(str(top)), OPTIONS, (65532, 65532))


def run_all(steps: tuple[Step, ...], selection: Selection, context: Context) -> Selection:
    for step in steps:
        selection = step(selection, context)
    return selection


def test_a_step_changes_nothing_and_gives_the_same_each_time(tmp_path: Path) -> None:
    context = world(tmp_path)
    selection = Selection({})
    for step in STEPS:
        entries = dict(selection.entries)
        following = step(selection, context)
        assert dict(selection.entries) == entries, step
        assert step(selection, context) == following, step
        selection = following
    assert selection == run_steps(Selection({}), context)


def test_the_steps_find_then_close_then_judge(tmp_path: Path) -> None:
    context = world(tmp_path)
    found = run_all(SELECTION, Selection({}), context)
    assert not found.entries
    seeds = {seed.path for seed in found.seeds}
    assert {"/bin/app", "/app/extra", "/data"} <= seeds
    assert "/etc/passwd" not in seeds
    closed = run_all(CLOSURE, found, context)
    assert {"/bin", "/usr/bin/app", "/usr/bin/sh", "/app/extra", "/app/id_rsa", "/data"} <= {
        *closed.entries
    }
    assert not {"/proc", "/etc/passwd"} & {*closed.entries}
    judged = run_all(POLICY, closed, context)
    assert {"/proc", "/etc/passwd"} <= {*judged.entries}
    assert not {"/app/extra", "/app/id_rsa"} & {*judged.entries}
    assert (judged.entries["/data"].uid, judged.entries["/app/main.py"].mode) == (65532, 0o604)


def test_each_step_says_in_one_line_what_it_does() -> None:
    for step in STEPS:
        first = (step.__doc__ or "").split("\n")[0]
        assert first.endswith("."), step
