"""Libraries that a program opens by a constant name (dlopen(3)).

glibc does so itself: pthread_cancel(3) opens libgcc_s.so.1 when the first thread is cancelled.
Libraries that it opens only for a rarely used flag are not added.
"""

from __future__ import annotations

import mmap
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import list_read_only_spans, parse_elf
from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Reason
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

_MAX_NAME_BYTES = 4096
"""PATH_MAX; a longer constant is not a path (limits.h)."""
_NAME = re.compile(rb"(?:lib[\w.+-]+|/[\w./+-]+)\.so(?:\.[0-9]+)*", re.ASCII)
_OPTIONAL_LIBRARIES = {
    "libc.so.6": frozenset({"libidn2.so.0"}),
    "libnet.so": frozenset({"libgio-2.0.so.0"}),
}
"""Libraries that another library works without, by the soname of that library.

glibc opens libidn2 to look up a name that is not ASCII, if the caller sets AI_IDN or NI_IDN
(getaddrinfo(3), getnameinfo(3)), as getent and ping do. Without libidn2 it returns EAI_IDN_ENCODE.
libidn2 and its tables are 2 MB, and distributions' C libraries only recommend it. A JVM reads
GNOME's proxy settings, through 5 MB of libraries, only under -Djava.net.useSystemProxies=true, and
uses no proxy without them. Any other program that needs such a library links it or names it too.
"""


def find_dlopened_libraries(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the libraries whose names are in the read-only data of an ELF file, as its loader does.

    Only files that were touched, or that touched files need to load, count. A library that this
    rule added does not add others, otherwise half the system would follow.
    """
    elf = context.loader.elves.read(path) if path in context.kept else None
    if elf is None:
        return
    optional = _OPTIONAL_LIBRARIES.get(elf.soname or "", frozenset())
    for name in sorted(_read_names(context, path) - {*elf.needed, elf.soname} - optional):
        library = context.loader.find_library(name, path)
        if library is not None:
            yield Need(library, Reason.DLOPENED_LIBRARY, load=True)


def _read_names(context: RuleContext, path: str) -> set[str]:
    try:
        with (
            context.root.open(path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            spans = parse_elf(file, list_read_only_spans) or [(0, len(data))]
            return {name for span in spans for name in _scan_names(data, *span)}
    except (SlimtraceError, OSError, ValueError):  # it became shorter, or cannot be mapped
        return set()


def _scan_names(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """Find the C strings that are a library's name.

    A search for ``.so``, with a check around each hit, is ten times faster than a regular
    expression that can match anywhere.
    """
    at = data.find(b".so", start, end)
    while at >= 0:
        first = data.rfind(b"\0", max(start, at - _MAX_NAME_BYTES), at) + 1
        last = data.find(b"\0", at, min(end, at + _MAX_NAME_BYTES))
        if last >= 0:
            text = data[first or start : last]
            if _NAME.fullmatch(text):
                yield text.decode("ascii")
        at = data.find(b".so", at + 3 if last < 0 else last, end)


RULE = ClosureRule(
    Reason.DLOPENED_LIBRARY,
    find_dlopened_libraries,
    "libraries whose names are string constants in programs and libraries, where the "
    "loader finds them. Not those that glibc (libidn2) and the JVM (GNOME's) open "
    "only with a rare flag",
)
