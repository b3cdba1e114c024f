"""What an extension of the standard library imports: by names that it holds as constants.

As ``_decimal`` does ``numbers``, by PyImport_ImportModule. It imports none but the standard
library's modules. Others' extensions have the names of methods and modules alike among their
constants, by the thousand: they are not looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import list_read_only_spans, parse_elf
from slimtrace.builder.closure.rules.python.modules import get_module_index
from slimtrace.builder.closure.rules.python.source import Import
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_STANDARD = re.compile(r"/python3\.\d+t?/lib-dynload/[^/]+\.so$")
"""CPython's own; libpython, which may lie near them, holds the names of all modules."""
_MODULE = re.compile(rb"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*")
_MAX_EXTENSION_BYTES = 1 << 24
"""Bytes of an extension that are looked at: none of these has nearly as many."""


def find_extension_imports(context: RuleContext, path: str) -> Iterator[str]:
    """The files of the modules that the extension at an own path names."""
    if not _STANDARD.search(path):
        return
    modules = get_module_index(context)
    own = path.rpartition("/")[2].partition(".")[0]
    for name in sorted(_constants(context, path) - {own}):
        yield from filter(modules.is_standard, modules.find(path, Import(name)))


def _constants(context: RuleContext, path: str) -> set[str]:
    try:
        with context.root.open(path) as file:
            spans = parse_elf(file, list_read_only_spans) or []
            file.seek(0)
            data = file.read(_MAX_EXTENSION_BYTES)
    except SlimtraceError:
        return set()
    texts = (text for start, end in spans for text in data[start:end].split(b"\0"))
    return {text.decode() for text in texts if _MODULE.fullmatch(text)}
