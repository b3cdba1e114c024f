"""Libraries that a program opens by a constant name (dlopen(3)).

glibc does so itself: pthread_cancel(3) opens libgcc_s.so.1 when the first thread is cancelled.
Libraries that it opens only for a rarely used flag are not added.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.constants import read_library_constants
from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

_NAME = re.compile(r"(?:lib[\w.+-]+|/[\w./+-]+)\.so(?:\.[0-9]+)*", re.ASCII)
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
    names = {name for name in read_library_names(context, path) if _NAME.fullmatch(name)}
    for name in sorted(names - {*elf.needed, elf.soname} - optional):
        library = context.loader.find_library(name, path)
        if library is not None:
            yield Need(library, Reason.DLOPENED_LIBRARY, load=True)


@lru_cache(maxsize=4096)
def read_library_names(context: RuleContext, path: str) -> frozenset[str]:
    """Read the names of libraries among the constants of a kept ELF file. Several rules ask."""
    return read_library_constants(context.root, path)


RULE = ClosureRule(
    Reason.DLOPENED_LIBRARY,
    find_dlopened_libraries,
    "libraries whose names are string constants in programs and libraries, where the "
    "loader finds them. Not those that glibc (libidn2) and the JVM (GNOME's) open "
    "only with a rare flag",
)
