"""Answers seccomp notifications: the hot loop of the ``notify`` engine (seccomp_unotify(2)).

Each stop costs three calls of the kernel: receive, read the path, answer. A call whose process
image, number, base directory, path and telling flags were seen before costs one set look-up
more; one that another process image made is recorded again without a look at the file; only
new ones go to the decoder. The set holds hashes of 61 bits: a million calls collide with a
chance of one in four million, and save 300 bytes each.
"""

from __future__ import annotations

import errno
import select
from typing import TYPE_CHECKING

from tracer import tracee
from tracer.decode.call import ONCE, Outcome, Stop
from tracer.decode.places import LOOKS
from tracer.kernel.memory import WINDOW
from tracer.paths import join
from tracer.syscalls.signatures import AT_FDCWD, Meaning

if TYPE_CHECKING:
    from tracer.decode.decoder import Decoder
    from tracer.kernel.seccomp import Listener
    from tracer.lifecycle import Lifecycle
    from tracer.syscalls.tables import Call

    _Key = tuple[int, bytes | None, bytes, int]
    """arch and number, base directory (empty for an absolute path), path, telling flags."""

_CACHED = (Meaning.PLAIN, Meaning.OPEN, Meaning.EXEC)
_MOST_DECODED = 20_000
"""Calls whose meaning is remembered for other process images: an app that execs one program
a thousand times has the same few hundred."""
_ARGUMENTS = 4  # the first argument's place among the request's words


class Notifications:
    """The loop that runs in a thread of its own until no task uses the filter any more.

    :ivar stops: calls answered so far.
    :ivar lost: what made the loop end early, or None.
    """

    def __init__(
        self, listener: Listener, decoder: Decoder, lifecycle: Lifecycle, calls: dict[int, Call]
    ) -> None:
        self._listener = listener
        self._decoder = decoder
        self._lifecycle = lifecycle
        self._calls = calls
        self._quick = {key: plan for key, call in calls.items() if (plan := _plan(call))}
        self._decoded: dict[_Key | None, Outcome] = {}
        self.stops = 0
        self.lost: BaseException | None = None

    def loop(self) -> None:
        """Answer until the last task that carries the filter is gone."""
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001 -- told to the user by whoever joins us
            self.lost = error
            self._lifecycle.kill()

    def _loop(self) -> None:  # noqa: C901, PLR0912, PLR0915 -- the hot loop: a call here costs a tenth
        listener, decoder, memory = self._listener, self._decoder, self._decoder.places.memory
        words, ints, answer = listener.words, listener.ints, listener.answer
        receive, proceed = listener.receive, listener.proceed
        window, buffer, vectors, read = memory.window, memory.buffer, memory.vectors, memory.read
        local, local_count, remote, remote_count, zero = vectors
        images, quick, seen = self._lifecycle.images, self._quick, set[int]()
        request, blank = memoryview(words).cast("B"), bytes(words.nbytes)
        base_directory, slow = tracee.base_directory, self._slow
        wait = select.poll()
        wait.register(listener.fd, select.POLLIN)
        stops = mark = 0
        while True:
            if not listener.sync and wait.poll()[0][1] & select.POLLHUP:
                break  # before Linux 6.6 a blocked receive does not hear of the end
            request[:] = blank
            if receive() != 0:
                if self._is_over(wait):
                    break
                continue
            stops += 1
            tid = ints[2]
            key: _Key | None = None
            plan = quick.get(words[2])
            if plan is not None:
                where, dirfd, flags, telling, looks = plan
                address = words[where]
                room = 4096 - (address & 4095)
                window[0] = address
                window[1] = room if room < WINDOW else WINDOW  # noqa: FURB136 -- a call less
                count = read(tid, local, local_count, remote, remote_count, zero)
                raw = buffer.value
                if looks and not raw and count > 0:  # fstat: see Places
                    mark = words[2]
                    if mark in seen:
                        answer[0] = words[0]
                        proceed()
                        continue
                    seen.add(mark)
                if len(raw) < count:
                    if raw[:1] == b"/":
                        base: bytes | None = b""
                    elif dirfd:
                        start = words[dirfd] & 0xFFFFFFFF
                        base = base_directory(tid, start - (start >> 31 << 32))
                    else:
                        base = base_directory(tid, AT_FDCWD)
                    key = (words[2], base, raw, words[flags] & telling)
                    mark = hash((images.get(tid), key))
                    if mark in seen:
                        answer[0] = words[0]
                        proceed()
                        continue
            if slow(tid, key):
                if key is not None:
                    seen.add(mark)
            elif decoder.unsettled():
                seen.clear()
                self._decoded.clear()
        self.stops = stops

    def _slow(self, tid: int, key: _Key | None) -> bool:
        """Decode and answer; True when the same call of this process image says nothing new."""
        listener = self._listener
        words = listener.words
        call = self._calls.get(words[2])
        process = self._lifecycle.image_of(tid)
        is_exec = call is not None and call.signature.meaning is Meaning.EXEC
        if process is None and is_exec:
            process = 0  # the app's own start: no process image could have made it
        if call is None or process is None:
            if listener.alive():
                what = f"call {words[2] & 0xFFFFFFFF}" if call is None else call.name
                self._decoder.recorder.gap("unknown-call", f"{what} of thread {tid}")
            self._proceed()
            return False
        path = None if key is None or key[1] is None else join(key[1] or b"/", key[2])
        arguments = words[_ARGUMENTS : _ARGUMENTS + 6].tolist()
        stop = Stop(tid, process, call, arguments, path if key and key[2] else None)
        outcome = self._decoded.get(key, ONCE)
        if not self._decoder.again(stop, outcome):
            outcome = self._decoder.decode(stop)
            self._remember(key, outcome)
        if outcome.refuse is not None:
            listener.refuse(outcome.refuse)
        else:
            self._proceed()
        return outcome.touches is not None and outcome.absent is None and not is_exec

    def _remember(self, key: _Key | None, outcome: Outcome) -> None:
        if key is None or outcome.touches is None:
            return
        if len(self._decoded) >= _MOST_DECODED:
            self._decoded.clear()
        self._decoded[key] = outcome

    def _proceed(self) -> None:
        self._listener.answer[0] = self._listener.words[0]
        self._listener.proceed()

    def _is_over(self, wait: select.poll) -> bool:
        """After a failed receive: whether nobody is left, or a caller was killed meanwhile."""
        number = self._listener.error()
        if number in (errno.EINTR, errno.ENOENT):
            events = wait.poll(0)
            return bool(events) and bool(events[0][1] & select.POLLHUP)
        if number == errno.ENOTCONN:
            return True
        raise OSError(number, "cannot receive seccomp notifications")


def _plan(call: Call) -> tuple[int, int, int, int, bool] | None:
    """For a call with one path: where its path, dirfd and flags are among the request's words.

    Then the flags' telling bits, and whether the call only looks at the file.
    A dirfd of 0 means the cwd: word 0 is the request's id and never a dirfd.
    """
    signature = call.signature
    if signature.meaning not in _CACHED or len(signature.paths) != 1:
        return None
    (argument,) = signature.paths
    if argument.path is None:
        return None
    dirfd = 0 if argument.dirfd is None else _ARGUMENTS + argument.dirfd
    flags = 0 if signature.flags is None else _ARGUMENTS + signature.flags
    return _ARGUMENTS + argument.path, dirfd, flags, signature.telling, argument.use in LOOKS
