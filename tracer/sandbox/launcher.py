"""Three processes: the launcher outside, process 1 inside, and the program.

Process 1 exists because a program that is process 1 itself ignores the signals it does not handle
and must reap strangers (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING, NoReturn

from slimtrace.tracer.errors import CannotExecuteError, CommandNotFoundError, SlimtraceError
from slimtrace.tracer.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWUTS, unshare
from slimtrace.tracer.kernel.process import set_parent_death_signal
from slimtrace.tracer.kernel.seccomp import set_no_new_privs
from slimtrace.tracer.sandbox import supervise
from slimtrace.tracer.sandbox.capabilities import keep_at_most, without
from slimtrace.tracer.sandbox.mounts import enter_root
from slimtrace.tracer.sandbox.spec import encode_failure
from slimtrace.tracer.sandbox.userns import become, enter_process_namespace, what_forbids

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from slimtrace.tracer.sandbox.spec import Spec

_FAILED = 125
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def launch(spec: Spec, channel: socket.socket) -> int:
    """Run the program of ``spec``; the exit status to end with."""
    channel.sendall(b"\n")
    os.umask(0o022)
    try:
        with _entering(spec):
            mapped = enter_process_namespace(spec.user)
    except SlimtraceError as error:
        channel.sendall(encode_failure(error))
        return error.exit_status
    # After the change of credentials above, which would clear it.
    set_parent_death_signal(supervise.PARENT_DIED)
    if os.getppid() != spec.parent:
        return _FAILED
    supervise.block_signals()
    alive, held_while_alive = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(held_while_alive)
        return _run_first(spec, channel, alive, mapped=mapped)
    channel.close()
    return supervise.until_end_of(first, parent=spec.parent)


def _run_first(spec: Spec, channel: socket.socket, alive: int, *, mapped: bool) -> int:
    """Process 1: makes the root, starts the program, and ends with it."""
    set_parent_death_signal(signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:  # the launcher died before the line above
        return _FAILED
    try:
        with _entering(spec):
            unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
            enter_root(spec.root, read_only=spec.read_only, mapped=mapped)
        program = os.fork()
        if program == 0:
            _become(spec, mapped=mapped)
    except SlimtraceError as error:
        channel.sendall(encode_failure(error))
        return error.exit_status
    channel.close()
    return supervise.until_end_of(program)


def _become(spec: Spec, *, mapped: bool) -> NoReturn:
    """Turn this process into the program."""
    with _entering(spec):
        keep_at_most(without(()))
        if not mapped:
            become(spec.user)
        set_no_new_privs()
    try:
        os.chdir(spec.workdir)
    except OSError as error:
        raise SlimtraceError(
            f"cannot enter {spec.root}: working directory {spec.workdir}: {error.strerror}"
        ) from error
    supervise.restore_signals()
    _execute(spec)


def _execute(spec: Spec) -> NoReturn:
    name = spec.argv[0]
    try:
        os.execvpe(name, spec.argv, {"PATH": _PATH, **spec.env})  # noqa: S606
    except FileNotFoundError as error:
        if "/" not in name or not os.path.exists(name):
            raise CommandNotFoundError(
                f"cannot run {name}: not found in {spec.root}",
            ) from error
        raise CannotExecuteError(
            f"cannot run {name}: its interpreter or loader is not in {spec.root}"
        ) from error
    except OSError as error:
        raise CannotExecuteError(f"cannot run {name}: {error.strerror}") from error


@contextlib.contextmanager
def _entering(spec: Spec) -> Iterator[None]:
    """Say what the kernel refused, and by which setting."""
    try:
        yield
    except OSError as error:
        raise SlimtraceError(
            f"cannot enter {spec.root}: {error.strerror}", what_forbids(error)
        ) from error
