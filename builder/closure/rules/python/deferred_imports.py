"""At the level ``app``: what modules that no run loaded import later, and what Python itself does.

The interpreter imports some modules by itself, at a first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.imports import (
    find_new_files,
    get_known_files,
    make_need,
)
from slimtrace.builder.closure.rules.python.module_names import Import, ModuleNames
from slimtrace.builder.closure.rules.python.modules import get_module_index, is_installed
from slimtrace.builder.closure.rules.python.pycache import list_frozen_sources
from slimtrace.builder.closure.rules.python.source_files import (
    is_loadable,
    is_source,
    parse_file,
    read_text,
    scan_file,
)
from slimtrace.builder.closure.rules.python.source_scan import scan_strings
from slimtrace.builder.closure.rules.python.tool_modules import skip_tools
from slimtrace.builder.model import Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.python.modules import ModuleIndex

_ENCODINGS = "/encodings/__init__.py"
"""No interpreter starts without it."""
_BY_INTERPRETER = ("_strptime", "copyreg", "threading", "traceback", "unicodedata", "warnings")
"""What C code of the interpreter imports by name: ``time.strptime``, ``copy.copy``, a warning,
``"\\N{…}"``."""
_NOTHING: frozenset[Import] = frozenset()


def find_deferred_modules(context: RuleContext, path: str) -> Iterator[Need]:
    """Find what an implied source imports in functions, and what the interpreter itself imports.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path.endswith(_ENCODINGS):
        yield from _find_interpreters_own(context, path)
    if not path.endswith(".py") or not is_source(context, path):
        return
    modules = get_module_index(context)
    if modules.is_touched(path) or not is_loadable(context, path):
        return

    def find_files(names: ModuleNames) -> Iterator[str]:
        for each in names.calls:
            for file in skip_tools(modules, path, modules.find(path, each)):
                if _is_needed(context, path, file):
                    yield file
        yield from _find_own_strings(modules, path, names.strings)

    scan = scan_file(context, path)
    is_standard = modules.is_standard(path)
    strings = scan_strings(read_text(context, path)) if is_standard else frozenset[str]()
    widest = ModuleNames(_NOTHING, scan.calls, strings)
    certain = ModuleNames(_NOTHING, _NOTHING, frozenset())
    reason = Reason.PYTHON_DEFERRED_IMPORT
    yield from find_new_files(context, path, find_files, reason, widest, certain)


def _find_own_strings(modules: ModuleIndex, path: str, strings: frozenset[str]) -> Iterator[str]:
    """Find what a module of the standard library names in its own package: a default parser."""
    if not modules.is_standard(path):
        return
    top = modules.get_relative_path(path).partition("/")[0]
    for text in strings:
        if text.partition(".")[0] == top:
            yield from skip_tools(modules, path, modules.find(path, Import(text.partition(":")[0])))


def _find_interpreters_own(context: RuleContext, path: str) -> Iterator[Need]:
    """Find what the interpreter imports that ``encodings`` belongs to."""
    modules = get_module_index(context)
    if not modules.is_standard(path):
        return
    found = {file for name in _BY_INTERPRETER for file in modules.find(path, Import(name))}
    for source in list_frozen_sources(path.removesuffix(_ENCODINGS)):
        names = parse_file(context, source) if is_source(context, source) else None
        for each in (names.loads | names.calls) if names else ():
            found.update(skip_tools(modules, path, modules.find(source, each)))
    known = get_known_files(context, Reason.PYTHON_DEFERRED_IMPORT)
    for file in sorted(found - known):
        known.add(file)
        yield make_need(file, Reason.PYTHON_DEFERRED_IMPORT)


def _is_needed(context: RuleContext, importer: str, file: str) -> bool:
    """Whether a file is standard or the app's, or beside an importer that no distribution lists.

    The rest of a distribution, and what it requires, has a rule of its own.
    """
    if not is_installed(importer) or not is_installed(file):
        return True
    modules = get_module_index(context)
    tops = {modules.get_relative_path(each).partition("/")[0] for each in (importer, file)}
    return len(tops) == 1 and not get_package_index(context.root).library_owners(importer)
