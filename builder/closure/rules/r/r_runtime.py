"""Parts of R itself that it loads when they are first used."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_glibc
from slimtrace.builder.closure.rules.gconv import find_converters
from slimtrace.builder.model import Keep, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

_LIBR = re.compile(r"(?P<home>.*)/(?:lib/libR\.so|bin/exec/R)")
"""R as a library or, where it was compiled without one, the program."""

_PACKAGES = ("compiler", "tools", "methods", "datasets", "graphics", "grDevices", "stats", "utils")
"""Packages that R loads without being asked: at its start, and to compile functions that run often
(R: ``compiler::enableJIT``); and tools, which utils requires.
"""

_CHARSETS = (
    *("ISO-8859-1", "ISO-8859-2", "ISO-8859-5", "ISO-8859-7", "ISO-8859-9", "ISO-8859-13"),
    *("ISO-8859-15", "CP1250", "CP1251", "CP1252", "CP1253", "CP1257", "KOI8-R", "KOI8-U"),
    *("MACINTOSH", "UTF-16", "UTF-32"),
)
"""The encodings of R's graphics devices (grDevices/enc), into which they convert text by iconv(3),
and those of Unicode. R converts what it reads in the same way.
"""


def find_runtime_files(context: RuleContext, path: str) -> Iterable[Need]:
    """Find R's modules and settings, the packages that it loads itself, and common charsets.

    Modules have the code of linear algebra, of connections to the network and of the X11 devices
    (R Installation and Administration; R: ``La_library``, ``capabilities``).
    """
    libr = _LIBR.fullmatch(path)
    if libr is None:
        return
    home = libr["home"]
    for name in context.root.listdir(f"{home}/modules"):
        yield Need(f"{home}/modules/{name}", Reason.R_RUNTIME, load=name.endswith(".so"))
    for folder in (f"{home}/etc", context.root.resolve("/etc/R").path):
        for name in context.root.listdir(folder):
            yield Need(f"{folder}/{name}", Reason.R_RUNTIME)
    for name in _PACKAGES:
        yield Need(f"{home}/library/{name}/DESCRIPTION", Reason.R_RUNTIME)
    libc = context.root.resolve(context.loader.find_library("libc.so.6", path) or "/").path
    if is_glibc(libc):
        for need in find_converters(context, libc, _CHARSETS):
            yield replace(need, reason=Reason.R_RUNTIME)


RULES = (
    ClosureRule(
        Reason.R_RUNTIME,
        find_runtime_files,
        "R's modules (linear algebra, network, X11), its settings, the packages that it loads "
        "itself, and the converters for the charsets of its graphics devices",
        Keep.APP,
    ),
)
