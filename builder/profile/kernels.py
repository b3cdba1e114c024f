"""What an AppArmor profile allows below /proc, /sys and /dev: patterns of what was touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.outside import is_kernels
from slimtrace.builder.profile.quoting import escaped
from slimtrace.tracer.model import State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.model import Trace

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


def kernels(trace: Trace) -> dict[str, str]:
    """Patterns, with their quotes, to ``r`` or ``rw``, sorted.

    Numbers of processes, threads and descriptors stand for all: they are others each time.
    """
    found = {f'"{pattern}"': letters for pattern, letters in _DEVICES.items()}
    for path in trace.paths.values():
        if path.state is State.MISSING or not is_kernels(path.path):
            continue
        writes = not _CHANGES.isdisjoint(path.uses)
        is_directory = Use.LIST in path.uses or path.path.count("/") == 1
        for pattern in (
            _pattern(path.path),
            *((f"{_pattern(path.path)}/",) if is_directory else ()),
        ):
            key = f'"{pattern}"'
            found[key] = "rw" if writes or found.get(key) == "rw" else "r"
    return dict(sorted(found.items()))


def _pattern(path: str) -> str:
    words = escaped(path)
    words = _PROCESS.sub("@{PROC}/@{pid}", words)
    words = re.sub(r"^/proc(?=/|$)", "@{PROC}", words)
    words = _TASK.sub("@{tid}", words)
    return _DESCRIPTOR.sub("[0-9]*", words)
