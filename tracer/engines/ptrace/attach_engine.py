"""The engine of ``attach``: seizes processes that run already, and detaches from them unharmed.

A filter cannot be installed from outside, so every call is stopped (PTRACE_SYSCALL). A thread
that waits in a call is interrupted once at the beginning and once to detach; the kernel makes the
call again, as after a stop and SIGCONT.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.console import say
from slimtrace.tracer.decode.decoder import Decoder, Listeners
from slimtrace.tracer.engines.ptrace.open_files import record_open_files
from slimtrace.tracer.engines.ptrace.ptrace_engine import CallStops
from slimtrace.tracer.engines.ptrace.ptrace_loop import PtraceLoop
from slimtrace.tracer.errors import CannotTraceError, SlimtraceError
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.process import procfs
from slimtrace.tracer.syscalls import abi

if TYPE_CHECKING:
    from slimtrace.tracer.record.recorder import Recorder

_OPTIONS = ptrace.FOLLOW | ptrace.MARK_CALL_STOPS
DETACH_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Any of these ends the tracing; the processes run on."""


class AttachEngine:
    """A process, its threads and all its descendants, seized and not yet stopped.

    :ivar processes: those that existed at the beginning, each after its parent.
    :ivar stops: calls that were decoded.
    """

    name = "ptrace-syscall"

    def __init__(self, pid: int) -> None:
        """Seize them.

        :raises CannotTraceError: it is forbidden.
        :raises SlimtraceError: there is no such process, or it is traced already.
        """
        self.pid = pid
        self.stops = 0
        self.processes: list[int] = []
        self._threads: dict[int, list[int]] = {}
        self._loop = PtraceLoop(every_call=True)
        self._seize(pid)
        while any(
            self._seize(child) for child in _list_descendants(pid) if child not in self._threads
        ):
            continue

    def read_command_line(self) -> tuple[str, ...]:
        """The arguments of the first process, from a live thread: the leader may have ended."""
        thread = self._threads[self.pid][0]
        return procfs.read_command_line(thread) or (procfs.read_program_name(thread),)

    def _seize(self, process: int) -> bool:
        """Seize the threads of a process; False when it is gone."""
        threads: list[int] = []
        attempted = set[int]()
        while new := [tid for tid in procfs.list_threads(process) if tid not in attempted]:
            for tid in new:
                try:
                    ptrace.seize(tid, _OPTIONS)
                    threads.append(tid)
                except ProcessLookupError:
                    continue
                except OSError as error:
                    if procfs.has_ended(
                        tid
                    ):  # a zombie: the parent has not waited, or other threads run
                        continue
                    if procfs.read_tracer_pid(tid) != os.getpid():
                        self._give_up()
                        raise _explain(process, tid, error) from error
                    threads.append(tid)  # the child of a seized thread: seized already
            attempted.update(new)
        if not threads and process == self.pid:
            raise SlimtraceError(f"cannot attach to {process}: there is no such process")
        if threads:
            self._threads[process] = threads
            self.processes.append(process)
        return bool(threads)

    def _give_up(self) -> None:
        for threads in self._threads.values():
            for tid in threads:
                self._loop.add_thread(tid, 0, is_leader=False)
        self._detach()

    def run(self, recorder: Recorder, stop_after: float | None) -> None:
        """Record their open files and calls, until they end or one of DETACH_SIGNALS comes.

        :param stop_after: seconds after which to detach in any case.
        """
        decoder = Decoder(recorder, ptraces=True, listeners=Listeners.FINE, own_credentials=True)
        calls = CallStops(decoder, self._loop, abi.select_calls(platform.machine()), count=False)
        self._loop.begin(recorder, decoder.execs, calls.handle)
        images: dict[int, int] = {}
        for process in self.processes:
            parent = procfs.read_ppid(process)
            thread = self._threads[process][0]  # the leader, if it has not ended
            exe = procfs.read_program_name(thread)
            image = recorder.record_process(
                images.get(parent or 0), exe, procfs.read_command_line(thread)
            )
            images[process] = image
            record_open_files(thread, image, decoder)
            for tid in self._threads[process]:
                self._loop.add_thread(tid, image, is_leader=tid == process)
        for threads in self._threads.values():
            for tid in threads:
                ptrace.interrupt(tid)
        count = len(self.processes)
        say(f"attached to {self.pid}" + (f" and {count - 1} below it" if count > 1 else ""))
        self._wait(stop_after)
        self._detach()
        self.stops = calls.stops
        decoder.execs.finish()
        recorder.flush()

    def _wait(self, stop_after: float | None) -> None:
        """Handle stops until it is time to detach, or no tracee is left."""
        deadline = time.monotonic() + stop_after if stop_after is not None else None
        while True:
            self._loop.handle_all()
            if not self._loop.has_tracees:
                return
            left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            if left <= 0:
                return
            info = signal.sigtimedwait(DETACH_SIGNALS | {signal.SIGCHLD}, left)
            if info is not None and info.si_signo in DETACH_SIGNALS:
                return

    def _detach(self) -> None:
        self._loop.detach_all()
        while self._loop.has_tracees:
            self._loop.handle_all()
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)


def _list_descendants(pid: int) -> list[int]:
    """The descendants of a process, parents first, without slimtrace and its own descendants."""
    import psutil  # noqa: PLC0415 -- not needed by other engines

    try:
        top = psutil.Process(pid)
        own = psutil.Process()
        ours = {own.pid, *(process.pid for process in own.children(recursive=True))}
        return [child.pid for child in top.children(recursive=True) if child.pid not in ours]
    except psutil.NoSuchProcess:
        return []


def _explain(process: int, tid: int, error: OSError) -> SlimtraceError:
    tracer = procfs.read_tracer_pid(tid)
    if tracer:
        return SlimtraceError(
            f"cannot attach to {process}: process {tracer} traces it already",
            "end that tracer first",
        )
    if process == os.getpid():
        return SlimtraceError(f"cannot attach to {process}: that is slimtrace itself")
    return CannotTraceError("attaching", error.errno or errno.EPERM)
