"""``slimtrace attach``: traces a running process for a while."""

from __future__ import annotations

import os
import platform
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer import environment
from slimtrace.tracer.engines.ptrace.attach_engine import DETACH_SIGNALS, AttachEngine
from slimtrace.tracer.errors import CannotTraceError, SlimtraceError
from slimtrace.tracer.host.container import (
    detect_environment,
    read_ptrace_scope,
    suggest_permission,
)
from slimtrace.tracer.platform import check_platform
from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.result import RunResult
from slimtrace.tracer.trace.output import make_timestamp
from slimtrace.tracer.trace.trace import Run

if TYPE_CHECKING:
    from slimtrace.tracer.trace.output import TraceOutput


_LIVE_ROOT = "rootfs:/"


def attach(pid: int, output: TraceOutput, stop_after: float | None) -> RunResult:
    """Trace a process, its threads and its descendants until they end or slimtrace is stopped.

    :param stop_after: stop after so many seconds; None for no limit.
    :raises SlimtraceError: the process could not be seized, or the trace could not be written;
        each subclass has its exit status.
    """
    check_platform()
    number, first_process = output.find_next_ids(_LIVE_ROOT, None)
    writer = output.open()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, wait(2) reports no stops
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, DETACH_SIGNALS | {signal.SIGCHLD})
    try:
        attachment = _seize(pid)
        recorder = Recorder(writer, number, first_process)
        about = _describe_run(pid, attachment)
        writer.write_run(about)
        attachment.run(recorder, stop_after)
        recorder.record_datagram_ports()
        about = replace(
            about, seconds=round(recorder.elapsed_seconds(), 3), complete=recorder.complete
        )
        writer.write_end(about)
    except BaseException:
        writer.abandon()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    output.finish(writer)
    return RunResult(about, 0, attachment.stops, recorder.files, None, recorder.gaps)


def _seize(pid: int) -> AttachEngine:
    try:
        return AttachEngine(pid)
    except CannotTraceError as error:
        hint = suggest_permission("attaching", detect_environment(), read_ptrace_scope())
        cause = os.strerror(error.number).lower()
        raise SlimtraceError(f"cannot attach to {pid}: {cause}", hint) from error


def _describe_run(pid: int, attachment: AttachEngine) -> Run:
    ids = procfs.read_effective_ids(pid)
    cwd = magic_links.read_link(b"/proc/%d/cwd" % pid)
    return Run(
        command=attachment.read_command_line(),
        cwd=os.fsdecode(cwd or b"/"),
        user="{}:{}".format(*ids),
        env=environment.select_recorded(procfs.read_environment(pid)),
        image=_LIVE_ROOT,
        image_digest=None,
        started=make_timestamp(),
        machine=platform.machine(),
        engine=attachment.name,
    )
