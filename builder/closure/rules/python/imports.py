"""The modules that a source imports, or names in a string, in code that no run executed.

A touched module ran. Its functions and branches may import other modules in a later run, so these
are kept. Two kinds of imports give the same result in every run, and need no look: those of the
standard library's modules at load time, and those of installed modules in ``except ImportError``.
For a module that is only implied, just the imports count that run when it is loaded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.python.extensions import find_extension_imports
from slimtrace.builder.closure.rules.python.module_names import Import, ModuleNames
from slimtrace.builder.closure.rules.python.modules import get_module_index, is_installed
from slimtrace.builder.closure.rules.python.source_files import (
    is_loadable,
    is_source,
    parse_file,
    read_text,
    scan_file,
)
from slimtrace.builder.closure.rules.python.source_scan import scan_strings
from slimtrace.builder.closure.rules.python.tool_modules import skip_builders, skip_tools
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.python.modules import ModuleIndex

_PICKLES = "/_compat_pickle.py"
"""A table of Python 2's module names, for pickles. It imports none of them."""
_IMPORTED = (Reason.PYTHON_IMPORT, Reason.PYTHON_STRING_IMPORT, Reason.PYTHON_DEFERRED_IMPORT)
_NOTHING: frozenset[Import] = frozenset()


def find_imported_modules(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules that the file at an own path imports, and the packages that contain it."""
    if path.endswith(".so"):
        files = skip_tools(get_module_index(context), path, find_extension_imports(context, path))
        yield from (make_need(each, Reason.PYTHON_IMPORT) for each in files)
    if not is_source(context, path):
        return
    modules = get_module_index(context)
    known = get_known_files(context, Reason.PYTHON_IMPORT)
    for each in modules.list_packages(path):
        if each not in known:
            known.add(each)
            yield make_need(each, Reason.PYTHON_IMPORT)

    is_imported = any(path in get_known_files(context, reason) for reason in _IMPORTED)
    is_spare = is_installed(path) and not is_imported and not modules.is_touched(path)

    def find_files(names: ModuleNames) -> Iterable[str]:
        files = resolve_names(modules, path, names)
        return skip_builders(modules, files) if is_spare else files

    scan = scan_file(context, path)
    either = scan.loads | scan.calls
    widest = ModuleNames(either, either, frozenset(), either)
    # A statement at the beginning of a line, outside any block, is certain without a parser.
    certain = ModuleNames(scan.loads, _NOTHING, frozenset())
    new = find_new_files(context, path, find_files, Reason.PYTHON_IMPORT, widest, certain)
    yield from new


def resolve_names(modules: ModuleIndex, path: str, names: ModuleNames) -> Iterator[str]:
    """Find the files of the imports in a source that count."""
    has_run = modules.has_run(path)
    for each in () if has_run and modules.is_standard(path) else names.loads:
        if not (each.instead_of and has_run and is_installed(path)):
            yield from modules.find(path, each)
    if not modules.is_touched(path):
        for each in names.called:
            yield from modules.find(path, each)
        return
    for each in names.calls:
        yield from skip_tools(modules, path, modules.find(path, each))


def find_modules_in_strings(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules of touched packages whose names are strings in a touched source.

    Settings name modules so: ``package.module``, ``package.module:attribute``,
    ``package.module.attribute``.
    """
    if not is_source(context, path):
        return
    modules = get_module_index(context)
    if not modules.is_touched(path) or path.endswith(_PICKLES):
        return

    def find_files(names: ModuleNames) -> Iterator[str]:
        for text in names.strings:
            files = modules.find(path, Import(text.partition(":")[0]))
            if files and modules.is_touched(files[0]):
                yield from skip_tools(modules, path, files)

    scan = ModuleNames(_NOTHING, _NOTHING, scan_strings(read_text(context, path)))
    nothing = ModuleNames(_NOTHING, _NOTHING, frozenset())
    reason = Reason.PYTHON_STRING_IMPORT
    yield from find_new_files(context, path, find_files, reason, scan, nothing)


def find_deferred_imports(context: RuleContext, path: str) -> Iterator[str]:
    """Find the files that an implied source would import later: in functions, or by a call.

    No rule adds them.
    """
    modules = get_module_index(context)
    if not path.endswith(".py") or modules.is_touched(path) or not is_source(context, path):
        return
    names = parse_file(context, path)
    for each in names.calls if names else ():
        yield from skip_tools(modules, path, modules.find(path, each))


def find_new_files(
    context: RuleContext,
    path: str,
    find_files: Callable[[ModuleNames], Iterable[str]],
    reason: Reason,
    widest: ModuleNames,
    certain: ModuleNames,
) -> Iterator[Need]:
    """Find the files that no other source implied. A source is only parsed if it may have some.

    :param widest: at least the names that the parser finds.
    :param certain: names that need no parser.
    """
    known = get_known_files(context, reason)
    new = {*find_files(widest)} - known
    if not new <= {*find_files(certain)}:
        names = parse_file(context, path)
        new = {*find_files(names), *find_files(certain)} - known if names else new
    for each in sorted(new):
        known.add(each)
        if is_loadable(context, each):
            yield make_need(each, reason)


@lru_cache(maxsize=16)
def get_known_files(context: RuleContext, reason: Reason) -> set[str]:
    """The files that are kept already, or that the rule has already found."""
    return {*context.touched} if reason else set()


def make_need(path: str, reason: Reason) -> Need:
    """Make the need for a module's file: an extension needs its libraries."""
    return Need(path, reason, load=path.endswith(".so"))
