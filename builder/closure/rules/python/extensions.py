"""The modules that an extension of the standard library imports, by names in its constants.

For example, ``_decimal`` imports ``numbers`` by PyImport_ImportModule. Such an extension imports
only modules of the standard library. Other extensions are not read: their constants contain
thousands of names of methods, which look like names of modules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import list_read_only_spans, parse_elf
from slimtrace.builder.closure.rules.python.module_names import Import
from slimtrace.builder.closure.rules.python.modules import get_module_index
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_STANDARD = re.compile(r"/python3\.\d+t?/lib-dynload/[^/]+\.so$")
"""CPython's extensions. Not libpython, which may be near them: it contains all module names."""
_MODULE = re.compile(rb"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*")
_MAX_EXTENSION_BYTES = 1 << 24
"""Bytes of an extension that are read. All of CPython's are much smaller."""


def find_extension_imports(context: RuleContext, path: str) -> Iterator[str]:
    """Find the files of the modules that the extension at an own path names."""
    if not _STANDARD.search(path):
        return
    modules = get_module_index(context)
    own = path.rpartition("/")[2].partition(".")[0]
    for name in sorted(_read_constants(context, path) - {own}):
        yield from filter(modules.is_standard, modules.find(path, Import(name)))


def _read_constants(context: RuleContext, path: str) -> set[str]:
    try:
        with context.root.open(path) as file:
            spans = parse_elf(file, list_read_only_spans) or []
            file.seek(0)
            data = file.read(_MAX_EXTENSION_BYTES)
    except SlimtraceError:
        return set()
    texts = (text for start, end in spans for text in data[start:end].split(b"\0"))
    return {text.decode() for text in texts if _MODULE.fullmatch(text)}
