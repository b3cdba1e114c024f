"""Finds the files that the kernel itself opens at exec: script and ELF interpreters (execve(2)).

No call of the app shows these. They are read here with ``struct``, because this runs at every exec
of the app: importing an ELF library would cost more than it saves.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from slimtrace.tracer.process.root_view import HOST_VIEW, RootView
from slimtrace.tracer.trace.trace import PathState, Use

Locate = Callable[[bytes], bytes | None]

_HEAD_BYTES = 256  # BINPRM_BUF_SIZE
_BINFMT_MISC = "/proc/sys/fs/binfmt_misc/register"
_MAX_INTERPRETERS = 5  # exec_binprm: interpreters of interpreters
_PT_INTERP = 3
_MAX_HEADER_BYTES = 65536  # ELF_MIN_ALIGN of load_elf_phdrs: the kernel refuses more
_PATH_MAX = 4096


class Interpreter(NamedTuple):
    """An interpreter that the kernel opens.

    :ivar from_cwd: whether the script names it by a relative path.
    """

    path: bytes
    use: Use
    from_cwd: bool = False


class Interpreters:
    """Remembers the interpreters of each program, by its inode and change time."""

    def __init__(self, view: RootView) -> None:
        self._view = view
        self._known: dict[tuple[bytes, int, int, int], list[Interpreter]] = {}

    def find(self, program: bytes, locate: Locate, status: os.stat_result) -> list[Interpreter]:
        """Like :func:`find_interpreters`, for a program whose stat(2) is known."""
        key = (program, status.st_dev, status.st_ino, status.st_ctime_ns)
        known = self._known.get(key)
        if known is None:
            known = find_interpreters(program, locate, self._view)
            if not any(interpreter.from_cwd for interpreter in known):
                self._known[key] = known
        return known


def find_interpreters(
    program: bytes, locate: Locate, view: RootView = HOST_VIEW
) -> list[Interpreter]:
    """Return the files that the kernel opens to run ``program``, in order.

    The list is empty, or ends early, if a file cannot be read.

    :param locate: makes an interpreter's name absolute in the image's root, for this caller.
    """
    interpreters: list[Interpreter] = []
    for _ in range(_MAX_INTERPRETERS + 1):
        try:
            head, loader = _read(view, program)
        except (OSError, struct.error, OverflowError, ValueError):
            return interpreters
        name, use = (loader, Use.READ) if loader else (_script_interpreter(head), Use.EXEC)
        place = None if name is None else locate(name)
        if name is None or place is None:
            return interpreters
        interpreters.append(Interpreter(place, use, not name.startswith(b"/")))
        if loader:
            return interpreters
        program = place
    return interpreters


def is_program(view: RootView, place: PathState) -> bool:
    """Whether the kernel would execute the file: as ELF, as a script, or through binfmt_misc."""
    if place.status is None or not place.status.st_mode & 0o111:
        return False
    try:
        head, _ = _read(view, place.path)
    except (OSError, struct.error, ValueError, OverflowError):
        return False
    return head.startswith((b"\x7fELF", b"#!")) or os.path.exists(_BINFMT_MISC)


def _read(view: RootView, program: bytes) -> tuple[bytes, bytes | None]:
    """Return a program's first bytes and its ELF interpreter; empty if it is no regular file."""
    fd = view.open(program)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b"", None
        head = file.read(_HEAD_BYTES)
        return head, _elf_interpreter(head, file)


def _script_interpreter(head: bytes) -> bytes | None:
    if not head.startswith(b"#!"):
        return None
    line = head[2:].split(b"\n", 1)[0].split(b"\0", 1)[0]  # the kernel's strings end there
    fields = line.replace(b"\t", b" ").split(b" ")
    return next((field for field in fields if field), None)


def _elf_interpreter(head: bytes, file: BinaryIO) -> bytes | None:
    """Return PT_INTERP of an ELF file (elf(5)), or None."""
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return None
    order = "<" if head[5] == 1 else ">"
    if head[4] == 2:
        (table,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
        layout = order + "I4xQ16xQ"  # p_type, p_offset, p_filesz
    else:
        (table,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
        layout = order + "II8xI"
    file.seek(table)
    headers = file.read(min(size * count, _MAX_HEADER_BYTES))
    for number in range(count):
        kind, offset, length = struct.unpack_from(layout, headers, number * size)
        if kind == _PT_INTERP and 1 < length <= _PATH_MAX:
            return os.pread(file.fileno(), length, offset).split(b"\0", 1)[0] or None
    return None
