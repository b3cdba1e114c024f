"""Single stopped calls, made by this process with its own memory, and the resulting touches."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from traces import make_tree

from slimtrace.tracer.decode.call import StoppedCall
from slimtrace.tracer.decode.call_cache import CallCache, Key
from slimtrace.tracer.decode.decoder import Decoder, Listeners
from slimtrace.tracer.decode.fast_path import find_fast_call
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.syscalls.table import AT_FDCWD, AT_SYMLINK_NOFOLLOW
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Gap, Run, Use
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slimtrace.tracer.decode.call import CallVerdict
    from slimtrace.tracer.trace.trace import Trace

CALLS = abi.select_calls(platform.machine())
BY_NAME = {call.name: (key, call) for key, call in CALLS.items() if call.wide == 8}
TREE = {
    "file": "old",
    "link": "-> file",
    "dangling": "-> nowhere",
    "folder/inner": "2",
    "folder-link": "-> folder",
    "script": "#!/bin/sh\n",
    "empty/": "",
}
CWD = AT_FDCWD
READ, WRITE, BOTH = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
CREATE = os.O_CREAT
EXCLUSIVE = os.O_CREAT | os.O_EXCL
EXCHANGE, NO_REPLACE = 2, 1
NOFOLLOW = AT_SYMLINK_NOFOLLOW

Argument = int | bytes
Call = tuple[str, *tuple[Argument, ...]]


class App:
    """The test's own process as the app: it stops at a call before the call is made.

    :ivar folder: its working directory.
    """

    def __init__(self, folder: str, trace: str, **options: bool | Listeners) -> None:
        self.folder = folder
        self._trace = trace
        self._writer = TraceWriter(trace)
        self._writer.write_run(Run(("app",), "/", "0:0", {}, "rootfs:/", None, "", "x", "notify"))
        self.recorder = Recorder(self._writer, 0, 1)
        self.image = self.recorder.record_process(None, "/app", ("app",))
        self.decoder = Decoder(self.recorder, **options)  # type: ignore[arg-type]
        self.cache = CallCache(self.decoder, CALLS)
        self._memory: list[object] = []  # keeps the arguments' memory alive

    def stop(self, name: str, *arguments: Argument) -> StoppedCall:
        """Stop at a call; bytes are passed by address, with a NUL appended."""
        values = []
        for argument in arguments:
            if isinstance(argument, bytes):
                self._memory.append(block := ctypes.create_string_buffer(argument))
                argument = ctypes.addressof(block)  # noqa: PLW2901
            values.append(argument % 2**64)
        values += [0] * (6 - len(values))
        return StoppedCall(threading.get_native_id(), self.image, BY_NAME[name][1], values)

    def call(self, name: str, *arguments: Argument) -> CallVerdict:
        return self.decoder.decode(self.stop(name, *arguments))

    def trace(self) -> Trace:
        self.decoder.execs.finish()
        self.recorder.flush()
        return read_trace(self._trace)

    def touches(self) -> dict[str, str]:
        """Map paths below the folder, relative to it, to state and uses."""
        return {
            path.removeprefix(f"{self.folder}/"): f"{of.state} {' '.join(sorted(of.uses))}"
            for path, of in self.trace().paths.items()
            if path.startswith(f"{self.folder}/")
        }

    def gaps(self) -> list[Gap]:
        """Return the gaps, except the one for the missing end of this trace."""
        return [gap for gap in self.trace().runs[0].gaps if gap.kind != "interrupted"]

    def saved(self) -> set[str]:
        return {path.removeprefix(f"{self.folder}/") for path in self.trace().saved}

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    folder = make_tree(str(tmp_path / "work"), TREE)
    monkeypatch.chdir(folder)
    app = App(folder, str(tmp_path / "x.trace"))
    yield app
    app.close()


def unix(path: bytes) -> bytes:
    """Struct sockaddr_un (unix(7))."""
    return struct.pack("=H", socket.AF_UNIX) + path


@pytest.mark.parametrize(
    ("summary", "raw", "flags", "expected", "saved"),
    [
        ("read", b"file", READ, {"file": "file read"}, ""),
        ("read, folded", b".//folder/./inner", READ, {"folder/inner": "file read"}, ""),
        ("dots stay", b"folder/../file", READ, {"folder/../file": "file read"}, ""),
        ("list", b"folder", READ | os.O_DIRECTORY, {"folder": "file list"}, ""),
        ("write", b"file", WRITE, {"file": "file write"}, "file"),
        ("read and write", b"file", BOTH, {"file": "file read write"}, "file"),
        ("truncate", b"file", READ | os.O_TRUNC, {"file": "file read write"}, "file"),
        ("by a link", b"link", WRITE, {"link": "file write"}, "file"),
        ("a path alone", b"file", os.O_PATH, {"file": "file stat"}, ""),
        ("missing", b"none", READ, {"none": "missing read"}, ""),
        ("make", b"new", WRITE | CREATE, {"new": "created create write"}, ""),
        ("make what is", b"file", WRITE | CREATE, {"file": "file write"}, "file"),
        ("make, fails", b"file", WRITE | EXCLUSIVE, {"file": "file stat"}, ""),
        (
            "make by a link",
            b"dangling",
            WRITE | CREATE,
            {"dangling": "file readlink", "nowhere": "created create write"},
            "",
        ),
        (
            "where none can be",
            b"none/new",
            WRITE | CREATE,
            {"none/new": "missing create write"},
            "",
        ),
    ],
)
def test_touches_of_an_open(
    app: App, summary: str, raw: bytes, flags: int, expected: dict[str, str], saved: str
) -> None:
    app.call("openat", CWD, raw, flags)
    assert (app.touches(), app.saved()) == (expected, set(saved.split())), summary
    assert app.gaps() == []


@pytest.mark.parametrize(
    ("summary", "call", "expected", "saved"),
    [
        ("stat", ("newfstatat", CWD, b"link", 0, 0), {"link": "file stat"}, ""),
        ("lstat", ("newfstatat", CWD, b"dangling", 0, NOFOLLOW), {"dangling": "file stat"}, ""),
        (
            "stat, dangling",
            ("newfstatat", CWD, b"dangling", 0, 0),
            {"dangling": "missing stat"},
            "",
        ),
        ("stat of a descriptor", ("newfstatat", 0, b"", 0, 0x1000), {}, ""),
        ("no path", ("newfstatat", CWD, 0, 0, 0), {}, ""),
        ("a bad pointer", ("newfstatat", CWD, 8, 0, 0), {}, ""),
        ("readlink", ("readlinkat", CWD, b"link", 0, 0), {"link": "file readlink"}, ""),
        ("chdir", ("chdir", b"folder"), {"folder": "file chdir"}, ""),
        ("mode", ("fchmodat", CWD, b"file", 0o600), {"file": "file attr"}, "file"),
        ("mode of a folder", ("fchmodat", CWD, b"folder", 0o700), {"folder": "file attr"}, ""),
        ("shorten", ("truncate", b"file", 0), {"file": "file write"}, "file"),
        ("mkdir", ("mkdirat", CWD, b"new", 0o700), {"new": "created create"}, ""),
        ("mkdir of what is", ("mkdirat", CWD, b"folder", 0o700), {"folder": "file stat"}, ""),
        ("symlink", ("symlinkat", b"file", CWD, b"new"), {"new": "created create"}, ""),
        (
            "link",
            ("linkat", CWD, b"file", CWD, b"new", 0),
            {"file": "file stat", "new": "created create"},
            "",
        ),
        ("delete", ("unlinkat", CWD, b"file", 0), {"file": "file delete"}, "file"),
        ("delete a link", ("unlinkat", CWD, b"link", 0), {"link": "file delete"}, "link"),
        ("delete nothing", ("unlinkat", CWD, b"none", 0), {"none": "missing delete"}, ""),
        ("rmdir", ("unlinkat", CWD, b"empty", 0x200), {"empty": "file delete"}, "empty"),
        ("rmdir, not empty", ("unlinkat", CWD, b"folder", 0x200), {"folder": "file stat"}, ""),
        ("rmdir of a file", ("unlinkat", CWD, b"file", 0x200), {"file": "file stat"}, ""),
        ("unlink of a folder", ("unlinkat", CWD, b"folder", 0), {"folder": "file stat"}, ""),
        (
            "rename",
            ("renameat2", CWD, b"file", CWD, b"new", 0),
            {"file": "file delete", "new": "created create"},
            "file",
        ),
        (
            "rename over",
            ("renameat2", CWD, b"file", CWD, b"script", 0),
            {"file": "file delete", "script": "file write"},
            "file script",
        ),
        (
            "rename, not over",
            ("renameat2", CWD, b"file", CWD, b"script", NO_REPLACE),
            {"file": "file stat", "script": "file stat"},
            "",
        ),
        (
            "rename over a folder",
            ("renameat2", CWD, b"file", CWD, b"folder", 0),
            {"file": "file stat", "folder": "file stat"},
            "",
        ),
        (
            "rename over a folder that is not empty",
            ("renameat2", CWD, b"empty", CWD, b"folder", 0),
            {"empty": "file stat", "folder": "file stat"},
            "",
        ),
        (
            "rename into itself",
            ("renameat2", CWD, b"folder", CWD, b"folder/new", 0),
            {"folder": "file stat", "folder/new": "missing stat"},
            "",
        ),
        (
            "exchange with nothing",
            ("renameat2", CWD, b"file", CWD, b"new", EXCHANGE),
            {"file": "file stat", "new": "missing stat"},
            "",
        ),
        (
            "exchange",
            ("renameat2", CWD, b"file", CWD, b"script", EXCHANGE),
            {"file": "file delete", "script": "file write"},
            "file script",
        ),
        (
            "rename nothing",
            ("renameat2", CWD, b"none", CWD, b"new", 0),
            {"none": "missing delete"},
            "",
        ),
        (
            "rename a folder",
            ("renameat2", CWD, b"folder", CWD, b"new", 0),
            {"folder": "file delete", "new": "created create"},
            "folder folder/inner",
        ),
        ("run", ("execve", b"script", 0, 0), {"script": "file exec"}, ""),
        ("run nothing", ("execve", b"none", 0, 0), {"none": "missing exec"}, ""),
        ("connect", ("connect", 0, unix(b"none"), 7), {"none": "missing connect"}, ""),
        ("connect, cut short", ("connect", 0, unix(b"filed"), 6), {"file": "file connect"}, ""),
        ("an abstract socket", ("connect", 0, unix(b"\0file"), 7), {}, ""),
        ("bind", ("bind", 0, unix(b"new"), 5), {"new": "created create"}, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_touches_of_a_call(
    app: App, summary: str, call: Call, expected: dict[str, str], saved: str
) -> None:
    app.call(*call)
    assert (app.touches(), app.saved()) == (expected, set(saved.split())), summary
    assert app.gaps() == []


def test_a_call_from_a_directory(app: App) -> None:
    directory = os.open("folder", os.O_RDONLY)
    app.call("openat", directory, b"inner", READ)
    os.close(directory)
    app.call("openat", directory, b"other", READ)  # EBADF
    assert app.touches() == {"folder/inner": "file read"}


def test_touches_of_a_script(app: App) -> None:
    app.call("execve", b"script", 0, 0)
    paths = app.trace().paths
    assert paths["/bin/sh"].uses == {Use.EXEC}
    loaders = [path for path, of in paths.items() if "ld-" in path and of.uses == {Use.READ}]
    assert len(loaders) == 1


# One call after another


def test_a_file_that_the_run_made(app: App) -> None:
    app.call("openat", CWD, b"new", WRITE | CREATE)
    with open("new", "w"):
        pass
    app.call("openat", CWD, b"new", BOTH)
    app.call("unlinkat", CWD, b"new", 0)
    assert app.touches() == {"new": "created create delete read write"}
    assert app.saved() == set()


def test_a_name_through_a_link_of_the_run(app: App) -> None:
    """The full image may not have that name, so the file's own path is recorded too."""
    app.call("symlinkat", b"folder", CWD, b"new")
    os.symlink("folder", "new")
    app.call("openat", CWD, b"new/inner", READ)
    assert app.touches() == {
        "new": "created create",
        "new/inner": "created read",
        "folder/inner": "file read",
    }


def test_a_file_in_a_moved_directory(app: App) -> None:
    app.call("renameat2", CWD, b"folder", CWD, b"new", 0)
    os.rename("folder", "new")
    app.call("openat", CWD, b"new/inner", READ)
    assert app.touches()["folder/inner"] == "file read"
    assert app.touches()["new/inner"] == "created read"


def test_a_directory_that_is_moved_back(app: App) -> None:
    for old, new in ((b"folder", b"new"), (b"new", b"folder")):
        app.call("renameat2", CWD, old, CWD, new, 0)
        os.rename(old, new)
    app.call("openat", CWD, b"folder/inner", READ)
    assert app.touches()["folder/inner"] == "file read"


def test_a_file_written_under_a_second_name(app: App) -> None:
    app.call("linkat", CWD, b"file", CWD, b"new", 0)
    os.link("file", "new")
    app.call("openat", CWD, b"new", WRITE)
    assert app.saved() == {"file"}


# Calls that hide other calls


@pytest.mark.parametrize(
    ("listeners", "gaps", "refused"),
    [(Listeners.FINE, 0, False), (Listeners.REFUSED, 1, False), (Listeners.REFUSE, 1, True)],
)
def test_a_listener_of_the_app(
    tmp_path: Path, listeners: Listeners, gaps: int, refused: bool
) -> None:
    app = App(str(tmp_path), str(tmp_path / "x.trace"), listeners=listeners)
    verdict = app.call("seccomp", 1, 1 << 3, 0)
    assert (verdict.refuse is not None) is refused
    assert len(app.gaps()) == gaps
    assert app.call("seccomp", 1, 0, 0).refuse is None
    app.close()


def test_io_uring_is_refused(app: App) -> None:
    assert app.call("io_uring_setup", 8, 0).refuse == 38
    assert [gap.kind for gap in app.gaps()] == ["io-uring-refused"]


def test_an_exception_in_the_decoder_is_a_gap(app: App) -> None:
    stop = app.stop("openat", CWD, b"file", READ)
    assert app.decoder.decode(stop._replace(args=())).refuse is None
    (gap,) = app.gaps()
    assert (gap.kind, gap.detail.split(":")[0]) == ("not-decoded", "openat")


# Calls that are repeated


@pytest.mark.parametrize(
    ("call", "repeats", "missing"),
    [
        (("newfstatat", CWD, b"file", 0, 0), True, False),
        (("openat", CWD, b"file", READ), True, False),
        (("openat", CWD, b"new", WRITE | CREATE), False, False),
        (("symlinkat", b"file", CWD, b"link"), False, False),
        (("renameat2", CWD, b"file", CWD, b"new", 0), False, False),
        (("openat", CWD, b"none", READ), True, True),
    ],
)
def test_calls_that_can_be_cached(app: App, call: Call, repeats: bool, missing: bool) -> None:
    verdict = app.call(*call)
    assert (verdict.touches is not None) is repeats
    assert (verdict.missing is not None) is missing


def key_of(name: str, raw: bytes, flags: int = 0) -> Key:
    return BY_NAME[name][0], os.fsencode(os.getcwd()), raw, flags


def test_a_known_call_of_another_process_image(app: App) -> None:
    stop, key = app.stop("openat", CWD, b"file", READ), key_of("openat", b"file")
    first = app.cache.decode(stop, key)
    second = app.recorder.record_process(app.image, "/other", ("other",))
    assert app.cache.decode(stop._replace(process=second), key) is first
    assert app.cache.recall(key) is first
    assert app.trace().paths[f"{app.folder}/file"].processes == (app.image, second)


def test_a_missing_file_that_is_created(app: App) -> None:
    key = key_of("openat", b"none")
    assert app.cache.decode(app.stop("openat", CWD, b"none", READ), key).missing is not None
    assert app.cache.recall(key) is not None
    with open("none", "w"):
        pass
    assert app.cache.recall(key) is None


@pytest.mark.parametrize(
    ("call", "forgets"),
    [
        (("openat", CWD, b"new", WRITE | CREATE), False),
        (("unlinkat", CWD, b"file", 0), False),
        (("renameat2", CWD, b"file", CWD, b"new", 0), False),
        (("renameat2", CWD, b"folder", CWD, b"new", 0), True),
        (("renameat2", CWD, b"link", CWD, b"new", 0), True),
        (("renameat2", CWD, b"file", CWD, b"link", EXCHANGE), True),
        (("symlinkat", b"file", CWD, b"new"), True),
        (("linkat", CWD, b"file", CWD, b"new", 0), True),
    ],
)
def test_calls_that_clear_the_cache(app: App, call: Call, forgets: bool) -> None:
    key = key_of("openat", b"script")
    app.cache.decode(app.stop("openat", CWD, b"script", READ), key)
    app.cache.recorded.add(1)
    app.cache.missing.add(2)
    app.cache.decode(app.stop(*call), None)
    app.cache.forget_if_paths_changed()
    assert (app.cache.recorded == app.cache.missing == set()) is forgets
    app.cache.forget_if_paths_changed()
    assert (key in app.cache._verdicts) is not forgets


@pytest.mark.parametrize("raw", [b"file", b"link", b"dangling", b"folder", b"folder-link", b"none"])
@pytest.mark.parametrize(
    ("name", "flags", "is_fast"),
    [
        ("newfstatat", 0, True),
        ("newfstatat", NOFOLLOW, True),
        ("readlinkat", 0, True),
        ("openat", READ, True),
        ("openat", os.O_NOFOLLOW, True),
        ("openat", os.O_DIRECTORY, True),
        ("openat", os.O_PATH, False),
        ("openat", WRITE, False),
        ("openat", os.O_TRUNC, False),
        ("openat", CREATE, False),
        ("openat", os.O_TMPFILE, False),
    ],
)
def test_the_fast_path_agrees_with_the_decoder(
    app: App, name: str, flags: int, is_fast: bool, raw: bytes
) -> None:
    _, call = BY_NAME[name]
    fast_call = find_fast_call(call.signature)
    assert fast_call is not None
    path = os.path.join(os.fsencode(app.folder), raw)
    fast = app.decoder.fast_path.decode(fast_call, path, flags)
    assert (fast is not None) is is_fast
    if fast is not None:
        arguments = (flags, 0) if name == "openat" else (0, flags)
        stop = app.stop(name, CWD, path, *arguments)
        slow = app.decoder.decode(stop._replace(path=path))
        assert fast.touches == slow.touches
        assert (fast.missing is None) is (slow.missing is None)
