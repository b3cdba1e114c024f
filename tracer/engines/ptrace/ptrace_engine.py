"""The engine ``ptrace``: the fallback where seccomp notifications do not work (ptrace(2)).

A filter stops the same calls by SECCOMP_RET_TRACE. Where no filter can be installed, or another
one would hide calls from it, PTRACE_SYSCALL stops each call twice (``ptrace-syscall``), and the
engine ignores the calls that are hot. One thread handles all stops.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import StoppedCall, descriptor
from slimtrace.tracer.decode.call_cache import (
    CallCache,
    CallPlan,
    get_absolute_path,
    make_call_plan,
)
from slimtrace.tracer.decode.decoder import Decoder, Listeners
from slimtrace.tracer.engines.app import App
from slimtrace.tracer.engines.ptrace.ptrace_loop import PtraceLoop
from slimtrace.tracer.kernel import bpf, ptrace
from slimtrace.tracer.kernel.memory import MemoryReader
from slimtrace.tracer.kernel.registers import refuse_call, set_first_argument
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.syscalls.classes import HOT
from slimtrace.tracer.syscalls.table import AT_FDCWD, CLONE_NEW, CallMeaning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.decode.call_cache import Key
    from slimtrace.tracer.engines.launch.launcher import Launcher
    from slimtrace.tracer.kernel.ptrace import SyscallEntry
    from slimtrace.tracer.record.recorder import Recorder

_CLONE_UNTRACED = 0x00800000  # linux/sched.h
_OPTIONS = ptrace.FOLLOW | ptrace.KILL_WITH_TRACER


class PtraceEngine:
    """One run by ptrace. See :class:`slimtrace.tracer.engines.engine.Engine`."""

    def __init__(self, launch: Launcher, *, syscall: bool = False, all_calls: bool = False) -> None:
        """Start the app, which waits to be executed.

        :param syscall: use PTRACE_SYSCALL, without a filter.
        :param all_calls: stop and count every system call.
        :raises CannotTraceError: ptrace or seccomp is refused here.
        """
        self.name = "ptrace-syscall" if syscall else "ptrace"
        self.stops = 0
        self._launch = launch
        self._counts_all = all_calls
        self._calls = abi.select_calls(platform.machine(), births=True, hot=all_calls)
        self._loop = PtraceLoop(every_call=syscall)
        if syscall:
            pid = launch.start_seized(None, _OPTIONS | ptrace.MARK_CALL_STOPS)
            ptrace.interrupt(pid)
        else:
            code = bpf.assemble_filter(abi.group_by_arch(self._calls), bpf.TRACE)
            pid = launch.start_seized(code, _OPTIONS | ptrace.STOP_AT_FILTER)
        self._loop.add_process(pid, launch.fork_app())
        launch.app_pid = self._loop.wait_for_app()
        launch.check_memory()
        self.app = App(launch, self._loop)
        self.view = launch.view

    def run(self, recorder: Recorder) -> None:
        """Let the app go and record what it does, to the end of its last process."""
        by_filter = self.name == "ptrace"
        decoder = Decoder(
            recorder, ptraces=True, listeners=Listeners.REFUSE if by_filter else Listeners.FINE
        )
        calls = CallStops(decoder, self._loop, self._calls, count=self._counts_all)
        self._loop.begin(recorder, decoder.execs, calls.handle)
        with self.app.kill_on_error():
            self._launch.execute_app()
            self._loop.loop()
        self.stops = calls.stops
        calls.finish()
        self._launch.check_executed()
        decoder.execs.finish()
        recorder.flush()


class CallStops:
    """Decodes the calls that stopped threads are about to make, and resumes the threads.

    :ivar stops: calls that were decoded.
    """

    def __init__(
        self,
        decoder: Decoder,
        loop: PtraceLoop,
        calls: dict[int, abi.Call],
        *,
        count: bool,
    ) -> None:
        self.stops = 0
        self._decoder = decoder
        self._loop = loop
        self._cache = CallCache(decoder, calls)
        self._resume = loop.resume
        self._plans = {key: plan for key, call in calls.items() if (plan := make_call_plan(call))}
        self._info = ptrace.SyscallInfo()
        self._memory = MemoryReader()
        self._counts: dict[str, int] | None = {} if count else None

    def handle(self, tid: int) -> None:
        """Handle a thread that stopped at the beginning or end of a call, and resume it."""
        entry = self._info.read_entry(tid)
        call = None if entry is None else self._cache.calls.get(entry.key)
        if entry is None or call is None:
            self._resume(tid)
            return
        self.stops += 1
        image = self._loop.find_image(tid)
        is_exec = call.signature.meaning is CallMeaning.EXEC
        if self._loop.is_unexecuted(tid) and not is_exec:
            self._resume(tid)
            return
        if call.signature.meaning is CallMeaning.BIRTH:
            _clear_untraced_flag(tid, call.name, entry.args, self._memory)
        if self._counts is not None:
            self._counts[call.name] = self._counts.get(call.name, 0) + 1
        refusal = self._decode(tid, entry, call, image, is_exec=is_exec)
        self._decoder.recorder.flush()
        if refusal is not None:
            refuse_call(tid, refusal)
        self._resume(tid)

    def finish(self) -> None:
        """After the run: record how often each call was made, if the calls were counted."""
        if self._counts is not None:
            self._decoder.recorder.record_counts(self._counts)

    def _decode(
        self, tid: int, entry: SyscallEntry, call: abi.Call, image: int | None, *, is_exec: bool
    ) -> int | None:
        """Record what the call is about to do; return the errno to refuse it with, or None."""
        is_telling = call.signature.meaning is CallMeaning.SEND or (
            call.name == "clone" and entry.args[0] & CLONE_NEW
        )
        if call.name in HOT and not is_telling:
            return None
        if image is None and not is_exec:
            self._decoder.recorder.record_gap("unknown-call", f"{call.name} of thread {tid}")
            return None
        plan = self._plans.get(entry.key)
        key = None if plan is None else self._read_key(tid, entry, plan)
        if plan is not None and plan.looks and key is not None and not key[2]:
            return None  # fstat: see Places
        mark = hash((image, key))
        if key is not None and mark in self._cache.recorded:
            return None
        stop = StoppedCall(tid, image or 0, call, entry.args, get_absolute_path(key))
        outcome = self._cache.decode(stop, key)
        if key is not None and outcome.touches is not None and outcome.missing is None:
            self._cache.recorded.add(mark)
        else:
            self._cache.forget_if_paths_changed()
        return outcome.refuse

    def _read_key(self, tid: int, entry: SyscallEntry, plan: CallPlan) -> Key | None:
        try:
            raw = self._memory.string(tid, entry.args[plan.path])
        except PermissionError:  # the decoder records that as a gap
            return None
        if raw is None:
            return None
        base: bytes | None = b""
        if not raw.startswith(b"/"):
            dirfd = AT_FDCWD if plan.dirfd is None else descriptor(entry.args[plan.dirfd])
            base = magic_links.read_base_directory(tid, dirfd)
        flags = 0 if plan.flags is None else entry.args[plan.flags] & plan.significant_flags
        return entry.key, base, raw, flags


def _clear_untraced_flag(tid: int, call: str, args: Sequence[int], memory: MemoryReader) -> None:
    """Remove CLONE_UNTRACED from the clone or clone3 that a stopped thread is about to make."""
    if call == "clone":
        if args[0] & _CLONE_UNTRACED:
            set_first_argument(tid, args[0] & ~_CLONE_UNTRACED)
        return
    flags = memory.number(tid, args[0], 8)  # the first member of struct clone_args (clone3(2))
    if flags is not None and flags & _CLONE_UNTRACED:
        ptrace.poke(tid, args[0], flags & ~_CLONE_UNTRACED)
