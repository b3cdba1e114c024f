"""Reads the Python sources of the full image: each is scanned once, and parsed at most once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.conditions import SourceContext
from slimtrace.builder.closure.rules.python.modules import get_module_index, is_installed
from slimtrace.builder.closure.rules.python.partial_names import may_have_partial_names
from slimtrace.builder.closure.rules.python.source import parse_source, parse_unconditional
from slimtrace.builder.closure.rules.python.source_scan import scan_source
from slimtrace.builder.model import Kind
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.python.module_names import Import, ModuleNames

_MAX_SOURCE_BYTES = 1 << 23
"""Bytes of a source that are read."""
_SCRIPT = re.compile(rb"#![^\n]*python")


def is_source(context: RuleContext, path: str) -> bool:
    """Whether the file is a Python source, by its suffix or by the first line of a script."""
    root = context.root
    if path.endswith(".py"):
        return root.kind(path) is Kind.FILE
    if "." in path.rpartition("/")[2] or path not in context.touched:
        return False
    is_program = root.kind(path) is Kind.FILE and root.is_executable(path)
    return bool(is_program and _SCRIPT.match(root.head(path, 256)))


@lru_cache(maxsize=2)
def read_text(context: RuleContext, path: str) -> str:
    """Read the source at an own path."""
    return context.root.head(path, _MAX_SOURCE_BYTES).decode("utf-8", "replace")


@lru_cache(maxsize=1 << 14)
def scan_file(context: RuleContext, path: str) -> ModuleNames:
    """Scan the source at an own path."""
    return scan_source(read_text(context, path))


@lru_cache(maxsize=2)
def parse_file(context: RuleContext, path: str) -> ModuleNames | None:
    """Parse the source at an own path. A touched module of the app may be the main module."""
    modules = get_module_index(context)
    is_main = modules.is_touched(path) and modules.is_from_app(path)
    here = SourceContext(is_main, modules.find_version(path))
    text = read_text(context, path)
    is_standard, has_patterns = modules.is_standard(path), may_have_patterns(context, path)
    return parse_source(text, here, is_standard=is_standard, has_patterns=has_patterns)


@lru_cache(maxsize=4)
def may_have_patterns(context: RuleContext, path: str) -> bool:
    """Whether a source may put names together: none in a package that is kept whole anyway.

    :raises SlimtraceError: a package database cannot be read.
    """
    is_standard = get_module_index(context).is_standard(path)
    return not get_package_index(context.root).library_owners(path) and may_have_partial_names(
        read_text(context, path), of_modules_only=is_standard
    )


@lru_cache(maxsize=1 << 14)
def is_loadable(context: RuleContext, path: str) -> bool:
    """Whether all modules exist that an installed source needs to be loaded.

    Some modules need another distribution that is not installed. Importing them raises ImportError,
    whether they are in the image or not.
    """
    modules = get_module_index(context)
    if not path.endswith(".py") or not is_installed(path) or modules.is_touched(path):
        return True

    def is_incomplete(names: Iterable[Import]) -> bool:
        tops = {each.module.partition(".")[0] for each in names if not each.level}
        return not all(modules.has_module(path, top) for top in tops)

    return not (
        is_incomplete(scan_file(context, path).loads)
        and is_incomplete(parse_unconditional(read_text(context, path)))
    )
