"""Makes calls again that a signal ended only because they waited for our answer.

A call on a regular file is never interrupted (signal(7)), but a call whose notification we have
not received yet is: with a handler without SA_RESTART it fails with EINTR, which the program would
never see untraced. (After that, only a deadly signal ends the wait:
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.) So a process that installs such a handler, for a signal
that may come at any time, is seized with ptrace, and each of its signals is checked before its
delivery. The next exec of the process resets its handlers, and we detach.
"""

from __future__ import annotations

import os
import queue
import signal
import stat
import threading
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import descriptor
from slimtrace.tracer.engines.ptrace.stops import PtraceEvent, SignalDelivery, decode_status
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.kernel.memory import MemoryReader
from slimtrace.tracer.kernel.registers import (
    AVAILABLE,
    InterruptedCall,
    read_interrupted_call,
    restart_call,
)
from slimtrace.tracer.paths import join
from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.result import ExitStatus
from slimtrace.tracer.syscalls.abi import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64
from slimtrace.tracer.syscalls.table import AT_FDCWD, CallMeaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.decoder import Decoder
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.syscalls.abi import Call

__all__ = ["AVAILABLE", "WAKE", "CallRestarts"]

WAKE = signal.SIGRTMIN
"""Wakes the thread of CallRestarts; this and SIGCHLD are blocked in all threads."""
_POLL_SECONDS = 0.1
"""A thread of a library that does not block SIGCHLD may take it from us (signal(7)). The stopped
thread of the app would then wait forever."""
_SA_RESTART = 0x10000000
_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
_SENT_BY_USERS = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGWINCH),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT),
)
"""They come once in a run, mostly at its end. That one arrives in the microseconds before we
receive a call is too rare to slow down every program that handles them, as nearly all do."""
_RARE = frozenset(_FAULTS + _SENT_BY_USERS)

_OPENS = (CallMeaning.OPEN, CallMeaning.OPENAT2)
_MAY_WAIT = frozenset(
    """
    connect socketcall io_getevents io_pgetevents io_pgetevents_time64 ipc keyctl mount msgrcv
    msgsnd mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 quotactl
    request_key sync syncfs umount umount2 userfaultfd
    """.split()  # noqa: SIM905 -- as in classes
)
"""Stopped calls that may wait, so that a signal does interrupt them; opens of fifos may too."""


class CallRestarts:
    """Seizes the processes that need it, in a thread that starts with the first of them."""

    def __init__(self, calls: Mapping[int, Call], decoder: Decoder) -> None:
        self._decoder = decoder
        self._interrupted = _InterruptedCalls(calls, decoder.recorder.view)
        self._memory = MemoryReader()
        self._requests: queue.SimpleQueue[tuple[int, threading.Event]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._over = False

    def handle_install(self, stop: StoppedCall) -> None:
        """A thread is about to install a handler (rt_sigaction(2)): seize it first if necessary."""
        size = stop.call.wide
        handler = self._memory.number(stop.tid, stop.args[1], size)
        flags = self._memory.number(stop.tid, stop.args[1] + size, size)
        if handler in (None, int(signal.SIG_DFL), int(signal.SIG_IGN)) or flags is None:
            return
        if not flags & _SA_RESTART and stop.args[0] not in _RARE:
            self._seize(procfs.read_tgid(stop.tid) or stop.tid)

    def _seize(self, process: int) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="restarts", daemon=True)
            self._thread.start()
            self._decoder.ptraces = True
        done = threading.Event()
        self._requests.put((process, done))
        self._wake()
        done.wait()

    def stop(self) -> None:
        """End the thread, after the last process of the app."""
        self._over = True
        if self._thread is not None:
            self._wake()
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is not None and self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, WAKE)

    def _loop(self) -> None:
        while not self._over:
            signal.sigtimedwait({signal.SIGCHLD, WAKE}, _POLL_SECONDS)
            while not self._requests.empty():
                process, done = self._requests.get()
                _seize_threads(process)
                done.set()
            self._handle_all()

    def _handle_all(self) -> None:
        try:
            while (stop := os.waitpid(-1, ptrace.WAIT_OWN | os.WNOHANG))[0]:
                self._handle(*stop)
        except ChildProcessError:
            return

    def _handle(self, tid: int, status: int) -> None:
        match decode_status(status):
            case ExitStatus():
                pass
            case SignalDelivery(number):
                self._interrupted.before_delivery(tid)
                ptrace.resume(tid, number)
            case PtraceEvent.GROUP_STOP:
                ptrace.listen(tid)
            case PtraceEvent.EXEC:
                ptrace.detach(tid)
            case _:
                ptrace.resume(tid)


def _seize_threads(process: int) -> None:
    """Seize every thread, except those that are traced already, by the app or by us."""
    for thread in procfs.list_threads(process):
        try:
            ptrace.seize(thread, ptrace.FOLLOW)
        except OSError:
            continue


class _InterruptedCalls:
    """Checks, before a signal is delivered, whether it interrupted a call."""

    def __init__(self, calls: Mapping[int, Call], view: RootView) -> None:
        self._calls = calls
        self._view = view
        self._memory = MemoryReader()

    def before_delivery(self, tid: int) -> None:
        """Have a call made again that waited only for our answer."""
        interrupted = read_interrupted_call(tid)
        if interrupted is None:
            return
        arch = AUDIT_ARCH_I386 if interrupted.is_32_bit else AUDIT_ARCH_X86_64
        call = self._calls.get(arch << 32 | interrupted.number)
        if call is None:
            return
        if call.signature.meaning in _OPENS:
            again = self._opens_at_once(tid, call, interrupted)
        elif call.name == "connect":
            again = _never_blocks(tid, interrupted.arguments[0])
        else:
            again = call.name not in _MAY_WAIT
        if again:
            restart_call(tid)

    def _opens_at_once(self, tid: int, call: Call, interrupted: InterruptedCall) -> bool:
        """Whether an open never waits; that of a fifo or terminal may, and can be interrupted."""
        argument = call.signature.paths[0]
        if argument.path is None:
            return False
        raw = self._memory.string(tid, interrupted.arguments[argument.path])
        if not raw:
            return True
        dirfd = AT_FDCWD
        if argument.dirfd is not None:
            dirfd = descriptor(interrupted.arguments[argument.dirfd])
        base = b"/" if raw.startswith(b"/") else magic_links.read_base_directory(tid, dirfd)
        if base is None:
            return True
        try:
            mode = self._view.stat(self._view.replace_self(tid, join(base, raw))).st_mode
        except OSError:
            return True
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _never_blocks(tid: int, fd: int) -> bool:
    """Whether a descriptor is O_NONBLOCK (proc(5), fdinfo)."""
    flags = procfs.read_open_flags(tid, descriptor(fd))
    return flags is not None and bool(flags & os.O_NONBLOCK)
