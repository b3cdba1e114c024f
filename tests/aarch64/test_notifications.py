"""Notifications of an aarch64 kernel (recorded by record.py) give the right touches."""

from __future__ import annotations

import ctypes
import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from traces import make_tree

from slimtrace.tracer.decode.call import StoppedCall
from slimtrace.tracer.decode.decoder import Decoder
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.syscalls.classes import PATH
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Run, Use
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from slimtrace.tracer.trace.trace import Trace

HERE = os.path.dirname(__file__)
FD = 200  # record.py's descriptor of the folder
TREE = {"file": "1", "link": "-> file", "folder/inner": "2", "program": "#!/bin/sh\n"}
FLAGS = {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_TMPFILE": 0o20040000}
"""Flags of open(2) that have other values on aarch64 (asm/fcntl.h)."""

CALLS = abi.select_calls("aarch64")


@dataclass(frozen=True)
class Notification:
    """A line of the recording: a function of the C library, and the resulting notification.

    :ivar memory: the bytes at each argument that is an address.
    """

    function: str
    data: bytes
    memory: Mapping[int, bytes]

    @property
    def key(self) -> int:
        """arch<<32|number."""
        (key,) = struct.unpack_from("=Q", self.data, 16)
        return int(key)

    def call(self) -> abi.Call:
        return CALLS[self.key]


def _recorded() -> list[Notification]:
    with open(os.path.join(HERE, "notifications.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return [
        Notification(
            line["call"],
            bytes.fromhex(line["notification"]),
            {int(number): bytes.fromhex(block) for number, block in line["memory"].items()},
        )
        for line in lines
    ]


RECORDED = _recorded()

EXPECTED: list[tuple[str, str, dict[str, str]]] = [
    # the C library's function, the system call that it makes, and the touches of that
    ("open", "openat", {"file": "file read"}),
    ("open", "openat", {"file": "file write"}),
    ("open", "openat", {"link": "file stat"}),
    ("open", "openat", {"new": "created create write"}),
    ("open", "openat", {"folder": "file list"}),
    ("creat", "openat", {"new": "created create write"}),
    ("openat", "openat", {"folder/inner": "file read write"}),
    ("syscall", "openat2", {"folder/inner": "file read"}),
    ("stat", "newfstatat", {"file": "file stat"}),
    ("lstat", "newfstatat", {"link": "file stat"}),
    ("fstatat", "newfstatat", {"folder/inner": "file stat"}),
    ("fstatat", "newfstatat", {}),
    ("statx", "statx", {"missing": "missing stat"}),
    ("access", "faccessat", {"file": "file stat"}),
    ("faccessat", "faccessat2", {"folder/inner": "file stat"}),
    ("faccessat", "faccessat2", {"link": "file stat"}),
    ("readlink", "readlinkat", {"link": "file readlink"}),
    ("readlinkat", "readlinkat", {"folder/inner": "file readlink"}),
    ("statfs", "statfs", {"folder": "file stat"}),
    ("getxattr", "getxattr", {"file": "file stat"}),
    ("lgetxattr", "lgetxattr", {"link": "file stat"}),
    ("listxattr", "listxattr", {"file": "file stat"}),
    ("llistxattr", "llistxattr", {"link": "file stat"}),
    ("setxattr", "setxattr", {"file": "file attr"}),
    ("lsetxattr", "lsetxattr", {"link": "file attr"}),
    ("removexattr", "removexattr", {"file": "file attr"}),
    ("lremovexattr", "lremovexattr", {"link": "file attr"}),
    ("fsetxattr", "fsetxattr", {"folder": "file attr"}),
    ("name_to_handle_at", "name_to_handle_at", {"folder/inner": "file stat"}),
    ("inotify_add_watch", "inotify_add_watch", {"folder": "file stat"}),
    ("chmod", "fchmodat", {"file": "file attr"}),
    ("fchmod", "fchmod", {"folder": "file attr"}),
    ("fchmodat", "fchmodat", {"folder/inner": "file attr"}),
    ("chown", "fchownat", {"file": "file attr"}),
    ("lchown", "fchownat", {"link": "file attr"}),
    ("fchown", "fchown", {"folder": "file attr"}),
    ("fchownat", "fchownat", {"folder/inner": "file attr"}),
    ("utimes", "utimensat", {"file": "file attr"}),
    ("utimensat", "utimensat", {"folder/inner": "file attr"}),
    ("futimens", "utimensat", {"folder": "file attr"}),
    ("truncate", "truncate", {"file": "file write"}),
    ("mkdir", "mkdirat", {"new": "created create"}),
    ("mkdirat", "mkdirat", {"folder/new": "created create"}),
    ("mknod", "mknodat", {"new": "created create"}),
    ("mknodat", "mknodat", {"folder/new": "created create"}),
    ("symlink", "symlinkat", {"new": "created create"}),
    ("symlinkat", "symlinkat", {"folder/new": "created create"}),
    ("link", "linkat", {"file": "file stat", "new": "created create"}),
    ("linkat", "linkat", {"folder/inner": "file stat", "new": "created create"}),
    ("linkat", "linkat", {"link": "file stat", "folder/new": "created create"}),
    ("unlink", "unlinkat", {"file": "file delete"}),
    ("unlinkat", "unlinkat", {"folder/inner": "file delete"}),
    ("rmdir", "unlinkat", {"folder": "file stat"}),  # it is not empty
    ("rename", "renameat", {"file": "file delete", "new": "created create"}),
    ("renameat", "renameat", {"folder/inner": "file delete", "new": "created create"}),
    ("renameat2", "renameat2", {"file": "file delete", "folder/inner": "file write"}),
    ("bind", "bind", {"socket": "created create"}),
    ("connect", "connect", {"socket": "missing connect"}),
    ("chdir", "chdir", {"folder": "file chdir"}),
    ("fchdir", "fchdir", {"folder": "file chdir"}),
    ("execve", "execve", {"program": "file exec"}),
    ("execveat", "execveat", {"folder/inner": "file exec"}),
    ("acct", "acct", {"file": "file write"}),
    ("swapon", "swapon", {"file": "file write"}),
    ("swapoff", "swapoff", {"file": "file write"}),
]

# Newer than the recording kernel, or without a function in its C library.
NOT_RECORDED = {
    *("fanotify_mark", "fchmodat2", "file_getattr", "file_setattr", "fremovexattr", "getxattrat"),
    *("listxattrat", "open_tree", "open_tree_attr", "quotactl", "removexattrat", "setxattrat"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make the tree of the calls' paths, in the current directory and at the descriptor FD."""
    directory = make_tree(str(tmp_path / "work"), TREE)
    monkeypatch.chdir(directory)
    for name, value in FLAGS.items():
        monkeypatch.setattr(os, name, value)
    fd = os.open("folder", os.O_RDONLY)
    os.dup2(fd, FD)
    os.close(fd)
    yield directory
    os.close(FD)


def decode(notification: Notification, path: str) -> Trace:
    """Decode one call, as if this process made it, with its own memory; return the trace."""
    writer = TraceWriter(path)
    writer.write_run(Run(("app",), "/", "0:0", {}, "rootfs:/", None, "", "aarch64", "notify"))
    recorder = Recorder(writer, 0, 1)
    process = recorder.record_process(None, "/app", ("app",))
    decoder = Decoder(recorder)
    blocks = {
        place: ctypes.create_string_buffer(block) for place, block in notification.memory.items()
    }
    arguments = list(struct.unpack_from("=6Q", notification.data, 32))
    for place, block in blocks.items():
        arguments[place] = ctypes.addressof(block)
    decoder.decode(StoppedCall(os.getpid(), process, notification.call(), arguments))
    decoder.execs.finish()
    decoder.recorder.flush()
    writer.close()
    return read_trace(path)


def _name(case: object) -> str | None:
    return case.function if isinstance(case, Notification) else None


@pytest.mark.parametrize(
    ("notification", "expected"), list(zip(RECORDED, EXPECTED, strict=True)), ids=_name
)
def test_touches_of_a_call(
    notification: Notification,
    expected: tuple[str, str, dict[str, str]],
    folder: str,
    tmp_path: Path,
) -> None:
    trace = decode(notification, str(tmp_path / "app.trace"))
    touches = {
        path.removeprefix(f"{folder}/"): f"{of.state} {' '.join(sorted(of.uses))}"
        for path, of in trace.paths.items()
        if path.startswith(f"{folder}/")
    }
    assert (notification.function, *trace.observed_syscalls, touches) == expected
    (run,) = trace.runs
    assert {gap.kind for gap in run.gaps} == {"interrupted"}, (
        "only the gap for the missing end is allowed"
    )


def test_notifications_name_the_abi() -> None:
    assert {recorded.key >> 32 for recorded in RECORDED} == {abi.AUDIT_ARCH_AARCH64}


def test_an_exec_reaches_the_interpreter(folder: str, tmp_path: Path) -> None:
    (recorded,) = (recorded for recorded in RECORDED if recorded.function == "execve")
    trace = decode(recorded, str(tmp_path / "app.trace"))
    assert Use.EXEC in trace.paths["/bin/sh"].uses


def test_every_call_with_a_path_is_recorded() -> None:
    native = abi.AUDIT_ARCH_AARCH64
    stopped = {call.name for key, call in CALLS.items() if key >> 32 == native} & PATH
    assert stopped - {recorded.call().name for recorded in RECORDED} == NOT_RECORDED
