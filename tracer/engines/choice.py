"""Picks the engine of a run: the one that the user chose, or the best that works here."""

from __future__ import annotations

import errno
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.engines.launch.host import HostLaunch, has_listener
from slimtrace.tracer.engines.notify.notify_engine import NotifyEngine
from slimtrace.tracer.errors import CannotTraceError, SlimtraceError
from slimtrace.tracer.host.container import (
    detect_environment,
    read_ptrace_scope,
    suggest_permission,
)
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
    """An engine whose app waits to be executed.

    :ivar reason: why it is not a faster engine, or None.
    """

    engine: Engine
    reason: str | None = None


class LaunchCommand(NamedTuple):
    """A command to execute.

    :ivar program: its file; with a sandbox, a name to find inside the image.
    :ivar mask: the signals that it blocks from the start.
    :ivar sandbox: the image to run it in, or None for the host.
    :ivar streams: standard descriptors (0 to 2) that it does not share with slimtrace, each with
        the descriptor to put there.
    :ivar command_output: for the output of further commands in the sandbox; None for stderr.
    """

    program: str
    argv: Sequence[str]
    mask: Iterable[int]
    sandbox: SandboxConfig | None = None
    streams: Mapping[int, int] = MappingProxyType({})
    command_output: int | None = None

    def launch(self) -> Launcher:
        if self.sandbox is None:
            return HostLaunch(self.program, self.argv, self.mask, self.streams)
        from slimtrace.tracer.engines.launch.sandbox import SandboxLaunch  # noqa: PLC0415 -- only for images

        return SandboxLaunch(self.sandbox, self.argv, self.mask, self.streams, self.command_output)


def start_engine(name: str, command: LaunchCommand, *, all_calls: bool = False) -> EngineChoice:
    """Start the command under the engine ``name``, or under the best one for AUTO.

    :param all_calls: stop every system call, not only those with paths.
    :raises SlimtraceError: that engine, or every engine, is forbidden here.
    """
    if name == "notify" or (name == AUTO and not all_calls):
        try:
            return _start_notify(command)
        except CannotTraceError as error:
            if name == "notify" or error.what == "process_vm_readv":
                raise _explain(error) from error
            return _start_ptrace(command, _describe(error), syscall=False, all_calls=all_calls)
    # A filter that stops all calls would also stop the child's own, before it can send "ready".
    syscall = all_calls or name == "ptrace-syscall"
    return _start_ptrace(command, None, syscall=syscall, all_calls=all_calls)


def _start_notify(command: LaunchCommand) -> EngineChoice:
    if kernel_version() < NOTIFY_SINCE:
        raise CannotTraceError("seccomp", errno.ENOSYS)
    return EngineChoice(NotifyEngine(command.launch()))


def _start_ptrace(
    command: LaunchCommand, reason: str | None, *, syscall: bool, all_calls: bool
) -> EngineChoice:
    from slimtrace.tracer.engines.ptrace.ptrace_engine import PtraceEngine  # noqa: PLC0415 -- rarely needed

    try:
        if not syscall and has_listener():
            syscall = True
            reason = reason or "another filter notifies a listener, and would hide calls from ours"
        if not syscall:
            try:
                return EngineChoice(PtraceEngine(command.launch(), all_calls=all_calls), reason)
            except CannotTraceError as error:
                if error.what != "seccomp":
                    raise
                reason = reason or _describe(error)
        return EngineChoice(
            PtraceEngine(command.launch(), all_calls=all_calls, syscall=True), reason
        )
    except CannotTraceError as error:
        raise _explain(error) from error


def _describe(error: CannotTraceError) -> str:
    """Why an engine cannot be used, in a few words."""
    if error.what == "seccomp" and error.number == errno.EBUSY:
        return "a seccomp listener watches this process already"
    if error.what == "seccomp" and kernel_version() < NOTIFY_SINCE:
        return "this kernel has no seccomp user notification"
    return f"{error.what} is refused: {os.strerror(error.number)}"


def _explain(error: CannotTraceError) -> SlimtraceError:
    """The error for the user, when no other engine is left to try."""
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
        hint = suggest_permission(error.what, detect_environment(), read_ptrace_scope())
    return SlimtraceError(error.message, hint)
