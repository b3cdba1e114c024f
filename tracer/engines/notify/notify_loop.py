"""Answers seccomp notifications: the hot loop of the ``notify`` engine (seccomp_unotify(2)).

Each stop costs three system calls: receive, read the path, answer. A call whose process image,
number, base directory, path and relevant flags occurred before costs one set look-up more. A call
that another process image made before is recorded without a look at the file. Only new calls go
to the decoder. The set holds hashes of 61 bits: a million calls collide with a
chance of one in four million, and save 300 bytes each.
"""

from __future__ import annotations

import errno
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import UNCACHED, StoppedCall
from slimtrace.tracer.decode.call_cache import (
    CallCache,
    CallPlan,
    get_absolute_path,
    make_call_plan,
)
from slimtrace.tracer.kernel.credentials import may_look_at_all
from slimtrace.tracer.kernel.memory import WINDOW, MemoryFiles
from slimtrace.tracer.platform import kernel_version
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.borrowed_ids import borrow_ids
from slimtrace.tracer.syscalls.table import AT_FDCWD, CallMeaning

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call_cache import Key
    from slimtrace.tracer.decode.decoder import Decoder
    from slimtrace.tracer.engines.notify.process_tree import ProcessTree
    from slimtrace.tracer.engines.notify.restart import CallRestarts
    from slimtrace.tracer.engines.notify.served_files import ServedFiles
    from slimtrace.tracer.kernel.seccomp import NotifyListener
    from slimtrace.tracer.syscalls.abi import Call

_RECEIVE_ENDS_SINCE = (6, 11)
"""Linux version since which a waiting receive ends when no task uses the filter any more."""
_INSTRUCTION, _ARGUMENTS = 3, 4
"""Indexes in the request's u64 fields: of the instruction pointer, and of the first argument."""


class NotifyLoop:
    """The loop that runs until no task uses the filter any more.

    :ivar stops: calls answered so far.
    """

    def __init__(
        self,
        listener: NotifyListener,
        decoder: Decoder,
        tree: ProcessTree,
        calls: dict[int, Call],
        restarts: CallRestarts,
        served: ServedFiles | None = None,
    ) -> None:
        self._listener = listener
        self._decoder = decoder
        self._tree = tree
        self._restarts = restarts
        self._served = served
        self._cache = CallCache(decoder, calls)
        self._memories = MemoryFiles()
        self._quick = {
            key: _find_fields(plan) for key, call in calls.items() if (plan := make_call_plan(call))
        }
        self.stops = 0

    def loop(self, guard: int) -> None:  # noqa: C901, PLR0912, PLR0915 -- the hot loop: a call here costs a tenth
        """Answer until the last task that uses the filter has ended.

        :param guard: a descriptor that hangs up when the guard has no process left.
        """
        listener, decoder, memory = self._listener, self._decoder, self._decoder.resolver.memory
        recorder = decoder.recorder
        fields, ints, answer = listener.fields, listener.int_fields, listener.answer
        receive, proceed = listener.receive, listener.proceed
        window, buffer, vectors, read = memory.window, memory.buffer, memory.vectors, memory.read
        local, local_count, remote, remote_count, zero = vectors
        files, count_call, pread = self._memories.files, self._memories.count_call, os.pread
        images, quick, cache = self._tree.images, self._quick, self._cache
        recorded, missing = cache.recorded, cache.missing
        request, blank = memoryview(fields).cast("B"), bytes(fields.nbytes)
        base_directory, slow = magic_links.read_base_directory, self._slow
        wait = select.poll()
        wait.register(listener.fd, select.POLLIN)
        polls = kernel_version() < _RECEIVE_ENDS_SINCE
        if polls:
            wait.register(guard, 0)
        stops = mark = 0
        served = self._served
        borrow = None if may_look_at_all() else borrow_ids
        pending, flush = recorder.queue.pending, recorder.queue.flush
        recall, queue_touches = cache.recall, recorder.queue_shared_touches
        while True:
            if pending:
                flush()
            if polls and any(event & select.POLLHUP for _, event in wait.poll()):
                break
            request[:] = blank
            try:
                receive()
            except OSError as error:
                if _is_over(error, wait):
                    break
                continue
            stops += 1
            tid = ints[2]
            if borrow is not None:
                borrow(tid)
            key: Key | None = None
            plan = quick.get(fields[2])
            if plan is not None:
                where, dirfd, flags, telling, looks = plan
                address = fields[where]
                count, file = 0, files.get(tid)
                if file is not None:
                    try:
                        data = pread(file, WINDOW, address)
                    except (OSError, OverflowError):
                        data = b""
                    raw, count = data.split(b"\0", 1)[0], len(data)
                if count == 0:
                    room = 4096 - (address & 4095)
                    window[0] = address
                    window[1] = room if room < WINDOW else WINDOW  # noqa: FURB136 -- a call less
                    count = read(tid, local, local_count, remote, remote_count, zero)
                    raw = buffer.value
                    if file is None:
                        count_call(tid)
                    else:
                        self._memories.forget()
                if looks and not raw and count > 0:  # fstat: see Places
                    mark = fields[2]
                    if mark in recorded:
                        answer[0] = fields[0]
                        try:
                            proceed()
                        except OSError:  # the caller was killed
                            continue
                        continue
                    recorded.add(mark)
                # What is served is never answered by the caches.
                if len(raw) < count and served is None:
                    if raw[:1] == b"/":
                        base: bytes | None = b""
                    elif dirfd:
                        start = fields[dirfd] & 0xFFFFFFFF
                        base = base_directory(tid, start - (start >> 31 << 32))
                    else:
                        base = base_directory(tid, AT_FDCWD)
                    key = (fields[2], base, raw, fields[flags] & telling)
                    image = images.get(tid)
                    mark = hash((image, key))
                    if mark in recorded:
                        answer[0] = fields[0]
                        try:
                            proceed()
                        except OSError:  # the caller was killed
                            continue
                        continue
                    if file is not None:
                        # The file also shows unreadable memory, and may be another thread's by now.
                        window[0], window[1] = address, len(raw) + 1
                        count = read(tid, local, local_count, remote, remote_count, zero)
                        if count <= len(raw) or buffer.value != raw:
                            self._memories.drop(tid)
                            key = None
                    if key and image is not None and (outcome := recall(key)) is not None:
                        answer[0] = fields[0]
                        try:
                            proceed()
                        except OSError:  # the caller was killed
                            continue
                        if outcome.missing is None:
                            recorded.add(mark)
                        elif mark in missing:
                            continue
                        else:
                            missing.add(mark)
                        queue_touches(image, outcome.touches or ())
                        continue
            if slow(tid, key):
                image = images.get(tid)  # known only now, or not while another thread execs
                if key is not None and image is not None:
                    recorded.add(hash((image, key)))
            else:
                cache.forget_if_paths_changed()
        self._memories.forget()
        recorder.flush()
        self.stops = stops

    def _slow(self, tid: int, key: Key | None) -> bool:
        """Decode and answer; True when the same call of this image would add nothing new."""
        listener = self._listener
        fields = listener.fields
        call = self._cache.calls.get(fields[2])
        tree = self._tree
        if tid in tree.helpers:
            self._proceed()
            return False
        process = tree.find_image(tid)
        if call is None or (process is None and call.signature.meaning is not CallMeaning.EXEC):
            is_app = process is None and call is not None and tree.is_unexecuted(tid)
            if not is_app and listener.is_alive():
                what = f"call {fields[2] & 0xFFFFFFFF}" if call is None else call.name
                self._decoder.recorder.record_gap("unknown-call", f"{what} of thread {tid}")
            self._proceed()
            return False
        arguments = fields[_ARGUMENTS : _ARGUMENTS + 6].tolist()
        stop = StoppedCall(tid, process or 0, call, arguments, get_absolute_path(key))
        match call.signature.meaning:
            case CallMeaning.EXIT:
                self._decoder.recorder.record_syscall(call.name)
                whole = call.name == "exit_group"
                tree.handle_exit(tid, arguments[0] & 0xFF, whole_process=whole)
                self._memories.drop(tid)
                outcome = UNCACHED
            case CallMeaning.REAPER:
                tree.has_reapers = True
                outcome = UNCACHED
            case CallMeaning.HANDLER:
                self._restarts.handle_install(stop)
                outcome = UNCACHED
            case _:
                outcome = self._cache.decode(stop, key)
        if call.signature.meaning is CallMeaning.EXEC:
            self._memories.drop(tid)
            if tid in self._decoder.execs:
                tree.begin_exec(stop, process, fields[_INSTRUCTION])
                self._memories.forget()
        self._answer(stop, outcome.refuse)
        return outcome.touches is not None and outcome.missing is None

    def _answer(self, stop: StoppedCall, refusal: int | None) -> None:
        if refusal is not None:
            self._listener.refuse(refusal)
        elif not self._serve(stop):
            self._proceed()

    def _serve(self, stop: StoppedCall) -> bool:
        """Answer a call about /proc or a device where the root has none; whether that was done."""
        at = stop.call.signature.paths[0].path if stop.call.signature.paths else None
        if self._served is None or at is None:
            return False
        try:
            path = self._decoder.resolver.memory.string(stop.tid, stop.args[at])
        except PermissionError:
            return False
        is_absolute = path is not None and path.startswith(b"/")
        return is_absolute and self._served.serve(stop, path or b"", self._listener)

    def _proceed(self) -> None:
        self._listener.answer[0] = self._listener.fields[0]
        with suppress(OSError):  # the caller was killed
            self._listener.proceed()


def _is_over(error: OSError, wait: select.poll) -> bool:
    """After a failed receive: whether no task is left; else a caller was killed meanwhile."""
    if error.errno in (errno.EINTR, errno.ENOENT):
        events = wait.poll(0)
        return bool(events) and bool(events[0][1] & select.POLLHUP)
    if error.errno == errno.ENOTCONN:
        return True
    raise error


def _find_fields(plan: CallPlan) -> tuple[int, int, int, int, bool]:
    """Indexes of path, dirfd and flags in the request's fields; flag bits; whether it only looks.

    A dirfd of 0 means the cwd: field 0 is the request's id and never a dirfd.
    """
    dirfd = 0 if plan.dirfd is None else _ARGUMENTS + plan.dirfd
    flags = 0 if plan.flags is None else _ARGUMENTS + plan.flags
    return _ARGUMENTS + plan.path, dirfd, flags, plan.significant_flags, plan.looks
