"""What an AppArmor profile allows below /proc, /sys and /dev: patterns of what was touched."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from slimtrace.builder.root.excluded_paths import is_kernel_path
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.trace.trace import Trace

_SPECIAL = frozenset(b'\\"*?[]{}^')


def quote_path(path: str, glob: str = "") -> str:
    """The words for one path, in ASCII and in double quotes, followed by a pattern.

    What a pattern or a quotation would mean by it is escaped; bytes that are not printable, or not
    ASCII, are octal. A variable (``@{X}``) in ``path`` is none then.
    """
    return f'"{escape_path(path)}{glob}"'


def escape_path(path: str) -> str:
    """As :func:`quote_path`, without the quotes."""
    return "".join(map(_escape_byte, os.fsencode(path)))


def _escape_byte(byte: int) -> str:
    if byte in _SPECIAL:
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


_CHANGES = frozenset({Use.WRITE, Use.CREATE, Use.DELETE, Use.ATTR})
_DEVICES = {
    "/dev/": "r",
    **dict.fromkeys((f"/dev/{name}" for name in ("null", "zero", "full", "tty")), "rw"),
    **dict.fromkeys((f"/dev/{name}" for name in ("random", "urandom")), "r"),
    "/dev/pts/[0-9]*": "rw",
    "@{PROC}/@{pid}/fd/": "r",
}
"""What every program may use: its standard streams lie there."""
_PROCESS = re.compile(r"/proc/(?:self|thread-self|[0-9]+)(?=/|$)")
_TASK = re.compile(r"(?<=\}/task/)[0-9]+(?=/|$)")
_DESCRIPTOR = re.compile(r"(?<=/fd/)[0-9]+$|(?<=/fdinfo/)[0-9]+$|(?<=^/dev/pts/)[0-9]+$")


def find_kernel_patterns(trace: Trace) -> dict[str, str]:
    """Patterns, with their quotes, to ``r`` or ``rw``, sorted.

    Numbers of processes, threads and descriptors stand for all: they are others each time.
    """
    found = {f'"{pattern}"': letters for pattern, letters in _DEVICES.items()}
    for path in trace.paths.values():
        if path.state is State.MISSING or not is_kernel_path(path.path):
            continue
        writes = not _CHANGES.isdisjoint(path.uses)
        is_directory = Use.LIST in path.uses or path.path.count("/") == 1
        for pattern in (
            _to_pattern(path.path),
            *((f"{_to_pattern(path.path)}/",) if is_directory else ()),
        ):
            key = f'"{pattern}"'
            found[key] = "rw" if writes or found.get(key) == "rw" else "r"
    return dict(sorted(found.items()))


def _to_pattern(path: str) -> str:
    words = escape_path(path)
    words = _PROCESS.sub("@{PROC}/@{pid}", words)
    words = re.sub(r"^/proc(?=/|$)", "@{PROC}", words)
    words = _TASK.sub("@{tid}", words)
    return _DESCRIPTOR.sub("[0-9]*", words)
