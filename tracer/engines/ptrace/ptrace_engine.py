"""The engine ``ptrace``: the fallback where notifications cannot be had (ptrace(2)).

A filter stops the same calls by SECCOMP_RET_TRACE; where no filter can be installed, or another
would hide calls from it, each call is stopped twice by PTRACE_SYSCALL and those that are hot let
go. One thread hears of everything.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import StoppedCall, descriptor
from slimtrace.tracer.decode.call_cache import CallCache, CallPlan, path_of, plan_of
from slimtrace.tracer.decode.decoder import Decoder, Listeners
from slimtrace.tracer.engines.app import App
from slimtrace.tracer.engines.ptrace.ptrace_loop import PtraceLoop, trace_child
from slimtrace.tracer.kernel import bpf, ptrace
from slimtrace.tracer.kernel.memory import MemoryReader
from slimtrace.tracer.kernel.registers import refuse_call
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.syscalls.classes import HOT
from slimtrace.tracer.syscalls.table import AT_FDCWD, CLONE_NEW, CallMeaning

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call_cache import Key
    from slimtrace.tracer.engines.launch.launcher import Launcher
    from slimtrace.tracer.kernel.ptrace import SyscallEntry
    from slimtrace.tracer.record.recorder import Recorder

_OPTIONS = ptrace.FOLLOW | ptrace.KILL_WITH_TRACER


class PtraceEngine:
    """One run by ptrace. See :class:`slimtrace.tracer.engines.engine.Engine`."""

    def __init__(self, launch: Launcher, *, syscall: bool = False, all_calls: bool = False) -> None:
        """Launch the app, which waits to be let go.

        :param syscall: by PTRACE_SYSCALL, without a filter.
        :param all_calls: see and count every system call.
        :raises CannotTraceError: ptrace or seccomp is refused here.
        """
        self.name = "ptrace-syscall" if syscall else "ptrace"
        self.stops = 0
        self._launch = launch
        self._all = all_calls
        self._calls = abi.select_calls(platform.machine(), births=True, hot=all_calls)
        self._lifecycle = PtraceLoop(every_call=syscall)
        if syscall:
            pid = launch.start_seized(None, _OPTIONS | ptrace.MARK_CALL_STOPS)
            ptrace.interrupt(pid)
        else:
            code = bpf.assemble_filter(abi.group_by_arch(self._calls), bpf.TRACE)
            pid = launch.start_seized(code, _OPTIONS | ptrace.STOP_AT_FILTER)
        self._lifecycle.adopt(pid, is_app=launch.init_pid is None)
        if launch.init_pid is not None:
            launch.fork_app()
            launch.app_pid = self._lifecycle.await_app()
        launch.check_memory()
        self.app = App(launch.app_pid, self._lifecycle, launch.spawner)
        self.view = launch.view

    def run(self, recorder: Recorder) -> None:
        """Let the app go and record what it does, to the end of its last process."""
        by_filter = self.name == "ptrace"
        decoder = Decoder(
            recorder, ptraces=True, listeners=Listeners.REFUSE if by_filter else Listeners.FINE
        )
        calls = CallStops(decoder, self._lifecycle, self._calls, count=self._all)
        self._lifecycle.begin(recorder, decoder.execs, calls.stopped)
        with self.app.kill_on_error():
            self._launch.execute_app()
            self._lifecycle.loop()
        self.stops = calls.stops
        calls.finish()
        self._launch.check_executed()
        decoder.execs.finish()
        recorder.flush()


class CallStops:
    """Decodes the calls that stopped threads are about to make, and lets them go on.

    :ivar stops: calls seen.
    """

    def __init__(
        self,
        decoder: Decoder,
        lifecycle: PtraceLoop,
        calls: dict[int, abi.Call],
        *,
        count: bool,
    ) -> None:
        self.stops = 0
        self._decoder = decoder
        self._lifecycle = lifecycle
        self._cache = CallCache(decoder, calls)
        self._resume = lifecycle.go_on
        self._plans = {key: plan for key, call in calls.items() if (plan := plan_of(call))}
        self._info = ptrace.SyscallInfo()
        self._memory = MemoryReader()
        self._counts: dict[str, int] | None = {} if count else None

    def stopped(self, tid: int) -> None:
        """A thread stopped at the beginning or end of a call."""
        entry = self._info.entry(tid)
        call = None if entry is None else self._cache.calls.get(entry.key)
        if entry is None or call is None:
            self._resume(tid)
            return
        self.stops += 1
        image = self._lifecycle.image_of(tid)
        is_exec = call.signature.meaning is CallMeaning.EXEC
        if self._lifecycle.is_unborn(tid) and not is_exec:
            self._resume(tid)
            return
        if call.signature.meaning is CallMeaning.BIRTH:
            trace_child(tid, call.name, entry.args, self._memory)
        if self._counts is not None:
            self._counts[call.name] = self._counts.get(call.name, 0) + 1
        refusal = self._decoded(tid, entry, call, image, is_exec=is_exec)
        self._decoder.recorder.flush()
        if refusal is not None:
            refuse_call(tid, refusal)
        self._resume(tid)

    def finish(self) -> None:
        """The run is over: say how often each call was made, if that was asked."""
        if self._counts is not None:
            self._decoder.recorder.counted(self._counts)

    def _decoded(
        self, tid: int, entry: SyscallEntry, call: abi.Call, image: int | None, *, is_exec: bool
    ) -> int | None:
        """Record what the call is about to do; the errno with which to refuse it, or None."""
        is_telling = call.signature.meaning is CallMeaning.SEND or (
            call.name == "clone" and entry.args[0] & CLONE_NEW
        )
        if call.name in HOT and not is_telling:
            return None
        if image is None and not is_exec:
            self._decoder.recorder.gap("unknown-call", f"{call.name} of thread {tid}")
            return None
        plan = self._plans.get(entry.key)
        key = None if plan is None else self._key(tid, entry, plan)
        if plan is not None and plan.looks and key is not None and not key[2]:
            return None  # fstat: see Places
        mark = hash((image, key))
        if key is not None and mark in self._cache.recorded:
            return None
        stop = StoppedCall(tid, image or 0, call, entry.args, path_of(key))
        outcome = self._cache.decode(stop, key)
        if key is not None and outcome.touches is not None and outcome.missing is None:
            self._cache.recorded.add(mark)
        else:
            self._cache.forget_if_paths_changed()
        return outcome.refuse

    def _key(self, tid: int, entry: SyscallEntry, plan: CallPlan) -> Key | None:
        try:
            raw = self._memory.string(tid, entry.args[plan.path])
        except PermissionError:  # the decoder will say so
            return None
        if raw is None:
            return None
        base: bytes | None = b""
        if not raw.startswith(b"/"):
            dirfd = AT_FDCWD if plan.dirfd is None else descriptor(entry.args[plan.dirfd])
            base = magic_links.read_base_directory(tid, dirfd)
        flags = 0 if plan.flags is None else entry.args[plan.flags] & plan.telling
        return entry.key, base, raw, flags
