"""Libraries that a program opens by a name it holds as a constant (dlopen(3)).

glibc itself does: pthread_cancel(3) opens libgcc_s.so.1 when a thread is first cancelled. What it
opens only on a flag that hardly a program sets does not follow from its being there.
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
"""PATH_MAX; a constant that is longer names no file (limits.h)."""
_NAME = re.compile(rb"(?:lib[\w.+-]+|/[\w./+-]+)\.so(?:\.[0-9]+)*", re.ASCII)
_ON_A_FLAG = {
    "libc.so.6": frozenset({"libidn2.so.0"}),
    "libnet.so": frozenset({"libgio-2.0.so.0"}),
}
"""What a library does without, by its soname.

glibc opens libidn2 to look up a name that is not ASCII for a caller that sets AI_IDN or NI_IDN
(getaddrinfo(3), getnameinfo(3)), as getent and ping do, and says EAI_IDN_ENCODE where there is
none; it and its tables are 2 MB, and distributions' C libraries only recommend it. A JVM asks GNOME
for its proxies, by 5 MB of libraries, under -Djava.net.useSystemProxies=true and takes none where
they are lacking. Who needs such a library otherwise links it, or names it too.
"""


def find_dlopened_libraries(context: RuleContext, path: str) -> Iterable[Need]:
    """The libraries that the read-only data of an ELF file names, as its loader finds them.

    Only of what was touched and what that needs to load: a library that was brought for being
    named does not bring others, or half the system would follow.
    """
    elf = context.loader.elves.read(path) if path in context.kept else None
    if elf is None:
        return
    left_out = _ON_A_FLAG.get(elf.soname or "", frozenset())
    for name in sorted(_names(context, path) - {*elf.needed, elf.soname} - left_out):
        found = context.loader.find_library(name, path)
        if found is not None:
            yield Need(found, Reason.DLOPENED_LIBRARY, load=True)


def _names(context: RuleContext, path: str) -> set[str]:
    try:
        with (
            context.root.open(path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            spans = parse_elf(file, list_read_only_spans) or [(0, len(data))]
            return {name for span in spans for name in _names_in(data, *span)}
    except (SlimtraceError, OSError, ValueError):  # it was shortened meanwhile, or is no mappable
        return set()


def _names_in(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """Whole C strings that are a library's name.

    A search for ``.so`` and a look environment each hit is ten times faster than a regular
    expression that begins anywhere.
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


RULE = ClosureRule(Reason.DLOPENED_LIBRARY, find_dlopened_libraries)
