"""What the kernel itself opens at exec: script interpreters and ELF interpreters (execve(2)).

No call of the app shows these. They are read here with ``struct``: this runs at every exec of
the app, and an ELF library would cost more at start than all it would save.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from tracer.model import Use
from tracer.paths import join

_HEAD = 256  # BINPRM_BUF_SIZE
_DEEPEST = 5  # exec_binprm: interpreters of interpreters
_PT_INTERP = 3
_PATH_MAX = 4096


@dataclass(frozen=True, slots=True)
class Interpreter:
    """``from_cwd``: the script names it relatively."""

    path: bytes
    use: Use
    from_cwd: bool = False


class Interpreters:
    """Remembers what was read of each program, by its inode and times."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes | None, int, int, int], list[Interpreter]] = {}

    def of(self, program: bytes, cwd: bytes | None, status: os.stat_result) -> list[Interpreter]:
        """As :func:`interpreters`, for a program whose stat(2) is known."""
        key = (program, cwd, status.st_dev, status.st_ino, status.st_ctime_ns)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = interpreters(program, cwd)
        return known


def interpreters(program: bytes, cwd: bytes | None) -> list[Interpreter]:
    """All that the kernel opens to run ``program``, in order; none for what cannot be read.

    :param cwd: where a script's relative interpreter starts from, None when it is unknown.
    """
    found: list[Interpreter] = []
    for _ in range(_DEEPEST + 1):
        try:
            with open(program, "rb") as file:
                head = file.read(_HEAD)
                loader = _elf_interpreter(head, file)
        except (OSError, struct.error):
            return found
        if loader is not None:
            return [*found, Interpreter(join(cwd or b"/", loader), Use.READ)]
        script = _script_interpreter(head)
        if script is None or (cwd is None and not script.startswith(b"/")):
            return found
        program = join(cwd or b"/", script)
        found.append(Interpreter(program, Use.EXEC, not script.startswith(b"/")))
    return found


def _script_interpreter(head: bytes) -> bytes | None:
    if not head.startswith(b"#!"):
        return None
    words = head[2:].split(b"\n", 1)[0].replace(b"\t", b" ").split(b" ")
    return next((word for word in words if word), None)


def _elf_interpreter(head: bytes, file: BinaryIO) -> bytes | None:
    """PT_INTERP of an ELF file (elf(5)), or None."""
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
    headers = file.read(size * count)
    for number in range(count):
        kind, offset, length = struct.unpack_from(layout, headers, number * size)
        if kind == _PT_INTERP and 1 < length <= _PATH_MAX:
            return os.pread(file.fileno(), length, offset).split(b"\0", 1)[0] or None
    return None
