"""Which engine a run has: the one that was asked for, or the best that this place allows."""

from __future__ import annotations

import errno
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.engines.launch.host import HostLaunch, has_listener
from slimtrace.tracer.engines.notify.notify_engine import NotifyEngine
from slimtrace.tracer.errors import CannotTraceError, SlimtraceError
from slimtrace.tracer.host.container import how_to_allow, place, ptrace_scope
from slimtrace.tracer.platform import NOTIFY_SINCE, kernel_version
from slimtrace.tracer.process import procfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slimtrace.tracer.engines.engine import Engine
    from slimtrace.tracer.engines.launch.launcher import Launcher
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

AUTO = "auto"
ENGINES = ("notify", "ptrace", "ptrace-syscall")


class EngineChoice(NamedTuple):
    """An engine whose app waits to be let go.

    :ivar why: why it is not the one that would be better, or None.
    """

    engine: Engine
    why: str | None = None


class LaunchCommand(NamedTuple):
    """What is to be executed.

    :ivar program: its file; in an image that is looked for there.
    :ivar mask: the signals that it is to have blocked.
    :ivar stage: the image, or None for this machine's root.
    :ivar streams: its descriptors to what is put there; the others of 0, 1 and 2 are ours.
    """

    program: str
    argv: Sequence[str]
    mask: Iterable[int]
    stage: SandboxConfig | None = None
    streams: Mapping[int, int] = MappingProxyType({})

    def launch(self) -> Launcher:
        if self.stage is None:
            return HostLaunch(self.program, self.argv, self.mask, self.streams)
        from slimtrace.tracer.engines.launch.sandbox import SandboxLaunch  # noqa: PLC0415 -- for images alone

        return SandboxLaunch(self.stage, self.argv, self.mask, self.streams)


def start(asked: str, command: LaunchCommand, *, all_calls: bool = False) -> EngineChoice:
    """Launch the command under the engine ``asked`` for, or under the best one for AUTO.

    :param all_calls: every system call is to be seen.
    :raises SlimtraceError: that engine, or every one, is forbidden here.
    """
    if asked == "notify" or (asked == AUTO and not all_calls):
        try:
            return _notify(command)
        except CannotTraceError as error:
            if asked == "notify" or error.what == "process_vm_readv":
                raise _final(error) from error
            return _ptrace(command, _reason(error), syscall=False, all_calls=all_calls)
    # A filter that stops all calls would stop the child's own, before it can say that it is ready.
    syscall = all_calls or asked == "ptrace-syscall"
    return _ptrace(command, None, syscall=syscall, all_calls=all_calls)


def _notify(command: LaunchCommand) -> EngineChoice:
    if kernel_version() < NOTIFY_SINCE:
        raise CannotTraceError("seccomp", errno.ENOSYS)
    return EngineChoice(NotifyEngine(command.launch()))


def _ptrace(
    command: LaunchCommand, why: str | None, *, syscall: bool, all_calls: bool
) -> EngineChoice:
    from slimtrace.tracer.engines.ptrace.ptrace_engine import PtraceEngine  # noqa: PLC0415 -- rarely needed

    try:
        if not syscall and has_listener():
            syscall = True
            why = why or "another filter notifies a listener, and would hide calls from ours"
        if not syscall:
            try:
                return EngineChoice(PtraceEngine(command.launch(), all_calls=all_calls), why)
            except CannotTraceError as error:
                if error.what != "seccomp":
                    raise
                why = why or _reason(error)
        return EngineChoice(PtraceEngine(command.launch(), all_calls=all_calls, syscall=True), why)
    except CannotTraceError as error:
        raise _final(error) from error


def _reason(error: CannotTraceError) -> str:
    """Why an engine was passed over, in a few words."""
    if error.what == "seccomp" and error.number == errno.EBUSY:
        return "a seccomp listener watches this process already"
    if error.what == "seccomp" and kernel_version() < NOTIFY_SINCE:
        return "this kernel has no seccomp user notification"
    return f"{error.what} is refused: {os.strerror(error.number)}"


def _final(error: CannotTraceError) -> SlimtraceError:
    """The error for the user: nothing else can be tried."""
    if error.what == "seccomp" and error.number == errno.EBUSY:
        return SlimtraceError(
            "cannot trace: a seccomp listener watches this process already",
            "use --engine auto or ptrace, or run slimtrace outside that container engine or tracer",
        )
    if error.what == "ptrace" and procfs.read_tracer_pid(os.getpid()):
        return SlimtraceError(
            "cannot trace: this process is being traced already",
            "run slimtrace outside the other tracer",
        )
    if error.what == "seccomp" and kernel_version() < NOTIFY_SINCE:
        hint = "use --engine ptrace: notify needs Linux 5.5 with seccomp user notification"
    else:
        hint = how_to_allow(error.what, place(), ptrace_scope())
    return SlimtraceError(error.message, hint)
