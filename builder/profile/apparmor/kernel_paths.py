"""The patterns of an AppArmor profile for touched paths below /proc, /sys and /dev."""

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
    """One path in double quotes and in ASCII, followed by a pattern.

    Characters with a meaning in patterns or quotes are escaped, so ``@{X}`` in ``path`` is no
    variable. Bytes that are not printable ASCII are octal.
    """
    return f'"{escape_path(path)}{glob}"'


def escape_path(path: str) -> str:
    """The same as :func:`quote_path`, without the quotes."""
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
"""Every program may use these: its standard streams are there."""
_PROCESS = re.compile(r"/proc/(?:self|thread-self|[0-9]+)(?=/|$)")
_TASK = re.compile(r"(?<=\}/task/)[0-9]+(?=/|$)")
_DESCRIPTOR = re.compile(r"(?<=/fd/)[0-9]+$|(?<=/fdinfo/)[0-9]+$|(?<=^/dev/pts/)[0-9]+$")


def find_kernel_patterns(trace: Trace) -> dict[str, str]:
    """Quoted patterns to ``r`` or ``rw``, sorted.

    The numbers of processes, threads and descriptors become patterns: they differ in each run.
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
    pattern = escape_path(path)
    pattern = _PROCESS.sub("@{PROC}/@{pid}", pattern)
    pattern = re.sub(r"^/proc(?=/|$)", "@{PROC}", pattern)
    pattern = _TASK.sub("@{tid}", pattern)
    return _DESCRIPTOR.sub("[0-9]*", pattern)
