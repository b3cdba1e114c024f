"""``show --json``: the whole trace as one document, stable within a schema version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slimtrace.tracer.text import replace_surrogates
from slimtrace.tracer.trace.schema import (
    SCHEMA,
    put_drive_options,
    put_drive_result,
    put_image_options,
)
from slimtrace.tracer.trace.text_fields import put, put_list
from slimtrace.tracer.trace.trace import ProcessImage, Run, State, Trace, TracedPath, Use

if TYPE_CHECKING:
    from collections.abc import Iterable

_ORDER = {use: place for place, use in enumerate(Use)}


def make_document(trace: Trace, unstopped: Iterable[str]) -> dict[str, Any]:
    """Return the trace as plain values that JSON can represent.

    :param unstopped: the calls that a run stops only with ``--syscalls all``.
    """
    return {
        "schema": SCHEMA,
        "runs": [_run(run) for run in trace.runs],
        "processes": [_process(image) for image in trace.processes],
        "files": _paths(trace.with_state(State.FILE)),
        "missing": _paths(trace.with_state(State.MISSING), seen=False),
        "created": _paths(trace.with_state(State.CREATED), seen=False),
        "syscalls": {
            "observed": list(trace.observed_syscalls),
            "assumed": sorted(unstopped) if trace.has_unseen_syscalls else [],
            **({"counts": dict(trace.syscall_counts)} if trace.syscall_counts else {}),
            "arguments": {name: list(seen) for name, seen in trace.arguments.items()},
            "narrow": trace.is_narrow,
        },
        "listening": [{"protocol": port.protocol, "port": port.port} for port in trace.listening],
        **put_list("healed", trace.healed),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        **put_list("command", run.command),
        **put("cwd", run.cwd),
        "user": run.user,
        "image": run.image,
        "image_digest": run.image_digest,
        **put_image_options(run),
        "started": run.started,
        "seconds": run.seconds,
        "exit_status": run.exit_status,
        "signal": run.signal,
        **({} if run.interrupted is None else {"interrupted": run.interrupted}),
        "engine": run.engine,
        "complete": run.complete,
        **({} if run.failure is None else {"failed": replace_surrogates(run.failure)}),
        **({} if run.stdin is None else {"stdin": run.stdin}),
        **({"driving": put_drive_options(run.drive_options)} if run.drive_options else {}),
        **({"driven": put_drive_result(run.drive_result)} if run.drive_result else {}),
        "gaps": [{"kind": gap.kind, "detail": gap.detail} for gap in run.gaps],
        **({"jvms": [_jvm(*jvm) for jvm in sorted(run.modules.items())]} if run.modules else {}),
    }


def _jvm(home: str, modules: tuple[str, ...]) -> dict[str, Any]:
    return {**put("home", home), **put_list("modules", modules)}


def _process(image: ProcessImage) -> dict[str, Any]:
    return {
        "id": image.id,
        "parent": image.parent,
        "run": image.run,
        **put("exe", image.exe),
        **put_list("argv", image.argv),
        "exit_status": image.exit_status,
    }


def _paths(paths: Iterable[TracedPath], *, seen: bool = True) -> list[dict[str, Any]]:
    return [
        {
            **put("path", path.path),
            "uses": sorted(path.uses, key=_ORDER.__getitem__),
            "processes": list(path.processes),
            **({"first_seen": path.first_seen} if seen else {}),
        }
        for path in paths
    ]
