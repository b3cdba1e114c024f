"""Random input causes no exception and no invented paths.

Untrusted input: wait statuses, notifications, paths, program headers and incomplete traces.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import struct
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from example_trace import EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as some

from slimtrace.tracer.decode.binfmt import find_interpreters
from slimtrace.tracer.decode.call import StoppedCall
from slimtrace.tracer.decode.decoder import Decoder
from slimtrace.tracer.engines.notify.notify_loop import NotifyLoop
from slimtrace.tracer.engines.ptrace.ptrace_loop import PtraceLoop
from slimtrace.tracer.engines.ptrace.stops import PtraceEvent, SignalDelivery, decode_status
from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.kernel.seccomp import NotifyListener
from slimtrace.tracer.paths import join
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.root_view import HOST_VIEW, resolve_parent
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.result import ExitStatus
from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.syscalls.table import AT_FDCWD, SIGNATURES, CallMeaning
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Run
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slimtrace.tracer.trace.trace import Trace

STEADY = settings(deadline=None, database=None, derandomize=os.environ.get("CI") == "true")
NOBODY = 1 << 22  # PID_MAX_LIMIT (linux/threads.h): no thread has this number or a higher one
IMAGE = 1
RUN = Run(("app",), "/", "0:0", {}, "rootfs:/", None, "2024-01-01T00:00:00Z", "x86_64", "notify")
CALLS = abi.select_calls(platform.machine(), handlers=True, exits=True)
U64 = some.integers(0, 2**64 - 1)

tids = some.integers(NOBODY, NOBODY + 3)
statuses = some.one_of(
    some.integers(-(2**31), 2**31 - 1),
    # An event stop, with the numbers that have a meaning (ptrace(2)).
    some.builds(
        lambda event, number: event << 16 | number << 8 | 0x7F,
        some.sampled_from((0, 1, 2, 3, 4, 5, 6, 7, 128, 255)),
        some.sampled_from((1, 5, 5 | 0x80, 9, 17, 18, 19, 20, 21, 22, 64)),
    ),
)


class _Recorder(Recorder):
    """Saves no file: random calls delete and rename files of this machine."""

    def save_copy(self, path: bytes, *, deep: bool = True) -> None:
        assert path.startswith(b"/")
        assert deep in (True, False)


@contextmanager
def _recorded(folder: str) -> Iterator[tuple[_Recorder, list[Trace]]]:
    """Yield a recorder; after the block, the list contains its trace."""
    output = os.path.join(folder, "x.trace")
    writer = TraceWriter(output)
    writer.write_run(RUN)
    recorder = _Recorder(writer, 0, IMAGE)
    recorder.record_process(None, "/app", ("app",))
    traces: list[Trace] = []
    try:
        yield recorder, traces
        recorder.flush()
        writer.write_end(RUN)
        traces.append(read_trace(output))
    finally:
        writer.close()
        os.unlink(output)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a cwd with files for this process, which acts as the app; traces are outside it."""
    folder = tmp_path_factory.mktemp("random")
    (folder / "work/sub").mkdir(parents=True)
    (folder / "work/file").write_text("")
    (folder / "work/link").symlink_to("file")
    before = os.getcwd()
    os.chdir(folder / "work")
    yield folder
    os.chdir(before)


# Statuses


@STEADY
@given(statuses)
def test_any_status_is_one_of_a_closed_set_of_stops(status: int) -> None:
    stop = decode_status(status)
    assert isinstance(stop, (ExitStatus, SignalDelivery, PtraceEvent))
    if isinstance(stop, ExitStatus):
        assert not os.WIFSTOPPED(status)
        assert 0 <= stop.status <= 255


@STEADY
@given(some.booleans(), some.lists(some.tuples(tids, statuses), max_size=30))
def test_any_sequence_of_statuses(
    work: Path, every_call: bool, found: list[tuple[int, int]]
) -> None:
    """No thread has these numbers, as if each thread was killed when it stopped."""
    with _recorded(str(work)) as (recorder, traces):
        lifecycle = PtraceLoop(every_call=every_call)
        lifecycle.begin(recorder, Decoder(recorder).execs, lifecycle.resume)
        lifecycle.add_process(NOBODY, 0)
        for tid, status in found:
            lifecycle._handle(tid, status)
            lifecycle.find_image(tid)
            lifecycle.is_unexecuted(tid)
        assert lifecycle.has_tracees <= bool(found) or lifecycle.is_unexecuted(NOBODY)
        lifecycle.detach_all()
    execs = sum(decode_status(status) is PtraceEvent.EXEC for _, status in found)
    assert len(traces[0].processes) == 1 + execs
    assert traces[0].paths == {}


# Notifications

ROOM = 4 * mmap.PAGESIZE
PIECES = (
    *(b"file", b"link", b"sub", b"none", b".", b"..", b"/", b"//", b"\n", b" (deleted)", b"\xff"),
    *(b"x" * 255, b"x" * 256, b"/tmp", b"\x01\0file\0", struct.pack("<QQQ", 0, 0, 0x10)),
)
"""Some are socket addresses and structs of openat2(2)."""
texts = some.lists(some.sampled_from(PIECES) | some.binary(max_size=12), max_size=6).map(b"".join)


class _Memory:
    """The app's memory: pages of this process, with nothing mapped after them."""

    def __init__(self) -> None:
        # One mapping, so that the last page belongs to nothing else and can be made inaccessible.
        self._pages = mmap.mmap(-1, ROOM + mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        assert libc.mprotect(self.start + ROOM, mmap.PAGESIZE, 0) == 0

    def fill(self, content: bytes, at: int) -> None:
        """Write random content; the rest of the memory is NULs."""
        self._pages[:ROOM] = bytes(ROOM)
        content = content[: ROOM - at]
        self._pages[at : at + len(content)] = content

    def string(self, address: int) -> bytes | None:
        """Return the path that the kernel would read at an address (getname), or None."""
        offset = address - self.start
        if not 0 <= offset < ROOM:
            return None
        text = self._pages[offset : min(offset + 4096, ROOM)]
        end = text.find(b"\0")
        return None if end < 0 else text[:end]


@pytest.fixture(scope="module")
def memory() -> _Memory:
    return _Memory()


class _Tree:
    """A process tree with one process that never ends."""

    def __init__(self, tid: int) -> None:
        self.images = {tid: IMAGE}
        self.helpers: frozenset[int] = frozenset()

    def find_image(self, tid: int) -> int | None:
        return self.images.get(tid)

    def is_unexecuted(self, tid: int) -> bool:
        return tid == 0

    def handle_exit(self, tid: int, status: int, *, whole_process: bool) -> None:
        assert whole_process in (True, False)
        assert 0 <= status <= 255
        assert tid in self.images

    def begin_exec(self, stop: StoppedCall, previous: int | None, code: int) -> None:
        assert stop.tid in self.images
        assert 0 <= code < 2**64
        assert previous == IMAGE


class _Restarts:
    """Seizes no process, since the caller is this process."""

    def handle_install(self, stop: StoppedCall) -> None:
        assert stop.call.name == "rt_sigaction"


class _Requests:
    """A listener with generated requests; it ends after the last one."""

    def __init__(self, requests: list[bytes]) -> None:
        self.answered = 0
        self._left = requests[::-1]
        self._ends = os.pipe()
        self._request = ctypes.create_string_buffer(80)
        self._response = ctypes.create_string_buffer(24)
        request, response = memoryview(self._request).cast("B"), memoryview(self._response)
        self.listener = NotifyListener(
            self._ends[0],
            request.cast("Q"),
            request.cast("i"),
            response.cast("B").cast("Q"),
            self._receive,
            self._proceed,
            self._request,
            self._response,
        )

    def _receive(self) -> None:
        if not self._left:
            raise OSError(errno.ENOTCONN, "all were received")
        ctypes.memmove(self._request, self._left.pop(), 80)

    def _proceed(self) -> None:
        self.answered += 1

    def close(self) -> None:
        for fd in self._ends:
            os.close(fd)


def _request(call: int, arguments: list[int], noise: bytes, tid: int) -> bytes:
    """Make a struct seccomp_notif; the other fields are taken from ``noise``."""
    return b"".join(
        (
            noise[:8],
            struct.pack("<i", tid),
            noise[12:16],
            struct.pack("<Q", call),
            noise[24:32],
            struct.pack("<6Q", *arguments),
        )
    )


def _allowed(memory: _Memory, arguments: list[int]) -> set[bytes]:
    """Return every path that a call with these arguments can mean, if any of them is a path."""
    starts = [b"/", *filter(None, (magic_links.read_link(b"/proc/self/cwd"),))]
    links = (
        magic_links.read_link(b"/proc/self/fd/" + os.fsencode(fd))
        for fd in os.listdir("/proc/self/fd")
    )
    starts += [link for link in links if link is not None]
    allowed = set(starts)
    for argument in arguments:
        for address in (argument, argument + 2):  # a socket's path follows its family
            text = memory.string(address)
            if text:
                # A socket path's end is given by its length.
                ends = {len(text), *arguments, *(number - 2 for number in arguments)}
                cut = {text[:end] for end in ends if 0 < end <= 128} | {text}
                allowed |= {join(start, part) for start in starts for part in cut}
    return allowed | {
        own
        for path in allowed
        for own in (HOST_VIEW.resolve_path(path), resolve_parent(HOST_VIEW, path))
    }


@settings(STEADY, max_examples=400)
@given(some.data())
def test_any_notification(work: Path, memory: _Memory, data: some.DataObject) -> None:
    """Run the loop itself: every call is answered, and all recorded paths were in its memory."""
    tid = threading.get_native_id()
    at = data.draw(some.sampled_from((0, 1, mmap.PAGESIZE - 3, ROOM - 8, ROOM - 4096)))
    memory.fill(data.draw(texts), at)
    pointers = some.sampled_from((at, at, at + 4, at + 5, ROOM - 1, ROOM)).map(memory.start.__add__)
    descriptors = some.sampled_from((AT_FDCWD, -1, 0, 1, 2, 3)).map(lambda fd: fd % 2**64)
    argument = some.one_of(pointers, pointers, descriptors, some.integers(0, 4096), U64)
    requests, allowed = list[bytes](), set[bytes]()
    for _ in range(data.draw(some.integers(1, 4))):
        call = data.draw(some.sampled_from(sorted(CALLS)) | U64)
        arguments = data.draw(some.lists(argument, min_size=6, max_size=6))
        caller = data.draw(some.sampled_from((tid, tid, tid, tid, NOBODY, -1, 0)))
        noise = data.draw(some.binary(min_size=32, max_size=32))
        requests.append(_request(call, arguments, noise, caller))
        allowed |= _allowed(memory, arguments)
    listener = _Requests(requests)
    lives: Any = _Tree(tid)
    restarts: Any = _Restarts()
    try:
        with _recorded(str(work)) as (recorder, traces):
            decoder = Decoder(recorder)
            loop = NotifyLoop(listener.listener, decoder, lives, CALLS, restarts)
            loop.loop(-1)
            decoder.execs.finish()
            moved = set(recorder.history.renames.moved.values())
    finally:
        listener.close()
    assert loop.stops == len(requests)
    (trace,) = traces
    assert "not-decoded" not in {gap.kind for gap in trace.runs[0].gaps}, trace.runs[0].gaps
    for path in map(os.fsencode, trace.paths):
        assert path in allowed or any((path + b"/").startswith(old + b"/") for old in moved)


def test_a_pointer_at_the_end_of_all_memory(work: Path) -> None:
    """No memory is mapped there or after it, where openat2 has the rest of its struct."""
    call = next(call for call in CALLS.values() if call.name == "openat2")
    highest = 2**64 - 1
    with _recorded(str(work)) as (recorder, traces):
        tid = threading.get_native_id()
        Decoder(recorder).decode(StoppedCall(tid, IMAGE, call, (highest,) * 6))
    assert traces[0].runs[0].gaps == ()


def test_a_gap_that_names_what_is_not_utf_8(work: Path) -> None:
    """A path with ``..`` from a deleted directory; this process's memory is the app's memory."""
    name = ctypes.create_string_buffer(b"../\xff")
    (work / "deleted").mkdir()
    directory = os.open(work / "deleted", os.O_RDONLY)
    (work / "deleted").rmdir()
    call = next(call for call in CALLS.values() if call.name == "openat" and call.wide == 8)
    with _recorded(str(work)) as (recorder, traces):
        tid = threading.get_native_id()
        stop = StoppedCall(tid, IMAGE, call, (directory, ctypes.addressof(name), 0, 0, 0, 0))
        Decoder(recorder).decode(stop)
    os.close(directory)
    (gap,) = traces[0].runs[0].gaps
    assert (gap.kind, gap.detail) == (
        "unknown-directory",
        "../\\udcff: its base directory is not known",
    )


def test_a_link_of_proc_that_leads_nowhere() -> None:
    """The link exists but cannot be read: its process is a zombie."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        name = b"/proc/%d/exe" % child
        assert HOST_VIEW.resolve_path(name) == name
        assert HOST_VIEW.resolve_path(name + b"/below") == name + b"/below"
        assert resolve_parent(HOST_VIEW, name + b"/below") == name + b"/below"
    finally:
        os.waitpid(child, 0)


# Paths

NATIVE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
NAMED = [
    (call, number)
    for call in CALLS.values()
    if call.wide == 8
    for number, argument in enumerate(call.signature.paths)
    if argument.path is not None or call.signature.meaning is CallMeaning.SOCKADDR
]
NAMED = [
    (call, number)
    for call, number in {(call.name, number): (call, number) for call, number in NAMED}.values()
    if call.name in abi.read_call_numbers(NATIVE)
]
"""Native calls, each with the index of one of its paths."""
raws = texts.map(lambda text: text.replace(b"\0", b"n")).filter(bool)


def test_all_calls_with_a_path_are_tried() -> None:
    untried = {name for name, signature in SIGNATURES.items() if signature.paths} - {
        call.name for call, _ in NAMED
    }
    own = abi.read_call_numbers(NATIVE)
    by_descriptor = {"fchmod", "fchown", "fsetxattr", "fremovexattr", "fchdir"}
    assert {name for name in untried if name in own} == by_descriptor


@settings(STEADY, max_examples=20)
@given(raw=raws)
@pytest.mark.parametrize(
    ("call", "which"),
    NAMED,
    ids=[f"{call.name} {which}" if which else call.name for call, which in NAMED],
)
def test_any_path(work: Path, call: abi.Call, which: int, raw: bytes) -> None:
    """It is recorded as these bytes, absolute and normalized, and read back unchanged."""
    cwd = os.fsencode(os.getcwd())
    others = ctypes.create_string_buffer(b"file")
    own = ctypes.create_string_buffer(raw)
    arguments = [0] * 6
    if call.signature.meaning is CallMeaning.SOCKADDR:
        raw = raw[:100]
        own = ctypes.create_string_buffer(struct.pack("<H", 1) + raw)
        arguments[1:3] = ctypes.addressof(own), len(own)
    for number, argument in enumerate(call.signature.paths):
        if argument.dirfd is not None:
            arguments[argument.dirfd] = AT_FDCWD % 2**64
        if argument.path is not None:
            mine = number == which
            arguments[argument.path] = ctypes.addressof(own if mine else others)
    how = ctypes.create_string_buffer(24)
    if call.signature.meaning is CallMeaning.OPENAT2:
        arguments[2] = ctypes.addressof(how)
    with _recorded(str(work)) as (recorder, traces):
        decoder = Decoder(recorder)
        decoder.decode(StoppedCall(threading.get_native_id(), IMAGE, call, arguments))
        decoder.execs.finish()
    (trace,) = traces
    recorded = {os.fsencode(path) for path in trace.paths}
    expected = join(cwd, raw)
    if len(expected) >= 4096:
        assert expected not in recorded
    else:
        assert expected in recorded
    also = {join(cwd, b"file")} if len(call.signature.paths) > 1 else set()
    assert recorded <= {expected, HOST_VIEW.resolve_path(expected)} | also
    assert {gap.kind for gap in trace.runs[0].gaps} <= {"unknown-directory", "foreign-root"}


# Programs

heads = some.one_of(
    some.binary(max_size=300),
    some.lists(
        some.sampled_from((b"#!", b"\n", b" ", b"\t", b"\0", b"/bin/sh", b"./file", b"file", b"."))
        | some.binary(max_size=5),
        max_size=8,
    ).map(lambda parts: b"#!" + b"".join(parts)),
    some.builds(
        lambda kind, order, rest: b"\x7fELF" + bytes((kind, order)) + rest,
        some.integers(0, 3),
        some.integers(0, 3),
        some.binary(min_size=58, max_size=200),
    ),
)


@settings(STEADY, max_examples=400)
@given(heads)
def test_any_program(head: bytes) -> None:
    """Every interpreter that the kernel would open is named in the program's header."""
    with tempfile.NamedTemporaryFile() as program:
        program.write(head)
        program.flush()
        found = find_interpreters(os.fsencode(program.name), lambda name: join(b"/", name))
        if found:
            assert found[0].path.strip(b"/") in head or b"/" in found[0].path.strip(b"/")
            assert all(b"\0" not in interpreter.path for interpreter in found)


# Traces


def test_a_trace_cut_anywhere(tmp_path: Path) -> None:
    """The complete lines are read and the run is incomplete, or the file is refused."""
    name = tmp_path / "cut.trace"
    name.write_bytes(EXAMPLE)
    whole = read_trace(str(name))
    for length in range(len(EXAMPLE)):
        name.write_bytes(EXAMPLE[:length])
        try:
            trace = read_trace(str(name))
        except TraceFileError:
            assert length < EXAMPLE.index(b"\n"), (
                "only a file with an incomplete header is not a trace"
            )
            continue
        assert trace.paths.keys() <= whole.paths.keys()
        assert len(trace.processes) <= len(whole.processes)
        if length > EXAMPLE.index(b"\n", EXAMPLE.index(b'{"end"')):
            continue  # paths that were healed later are not part of the run
        assert not any(run.complete for run in trace.runs)
        assert all(run.gaps[-1].kind == "interrupted" for run in trace.runs)


@STEADY
@given(some.integers(0, len(EXAMPLE)), some.integers(0, len(EXAMPLE)))
def test_traces_cut_anywhere_are_united(first: int, second: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("a.trace", "b.trace")]
        for name, length in zip(names, (first, second), strict=True):
            with open(name, "wb") as file:
                file.write(EXAMPLE[:length])
        try:
            read_trace(names)
        except TraceFileError:
            assert min(first, second) < EXAMPLE.index(b"\n")
