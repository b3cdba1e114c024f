"""The modules that a source imports, or names in a string, in code that no run executed.

A touched module ran. Its functions and branches may import other modules in a later run, so these
are kept. Two kinds of imports give the same result in every run, and need no look: those of the
standard library's modules at load time, and those of installed modules in ``except ImportError``.
For a module that is only implied, just the imports at load time count.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.python.conditions import SourceContext
from slimtrace.builder.closure.rules.python.extensions import find_extension_imports
from slimtrace.builder.closure.rules.python.modules import get_module_index, is_installed
from slimtrace.builder.closure.rules.python.source import (
    CALL,
    CODEC,
    Import,
    ModuleNames,
    parse_source,
    parse_unconditional,
    scan_source,
)
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.python.modules import ModuleIndex

_MAX_SOURCE_BYTES = 1 << 23
"""Bytes of a source that are read."""
_SCRIPT = re.compile(rb"#![^\n]*python")
_TESTS = re.compile(r"/(?:tests?|testing)/|/(?:conftest|testing)\.py$")
_TOOLS = re.compile(
    r"/(?:doctest|pdb|pydoc|turtle)\.py$"
    r"|/(?:python|pypy)[\d.]+/(?:(?:code|codeop|rlcompleter)\.py|lib-dynload/readline\.[^/]+)$"
    r"|/(?:unittest|distutils|setuptools|pip|ensurepip|venv|idlelib|tkinter|lib2to3|pydoc_data)/"
)
"""Tools for developers, and for use at a terminal. Libraries import them in code that services do
not run."""
_PICKLES = "/_compat_pickle.py"
"""A table of Python 2's module names, for pickles. It imports none of them."""


def find_imported_modules(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules that the file at an own path imports, and the packages that contain it."""
    if path.endswith(".so"):
        files = _skip_tools(get_module_index(context), path, find_extension_imports(context, path))
        yield from (_make_need(each, Reason.PYTHON_IMPORT) for each in files)
    if not _is_source(context, path):
        return
    modules = get_module_index(context)
    yield from (_make_need(each, Reason.PYTHON_IMPORT) for each in modules.list_packages(path))

    def find_files(names: ModuleNames) -> Iterable[str]:
        return resolve_names(modules, path, names)

    yield from _find_new_files(context, path, find_files, Reason.PYTHON_IMPORT)


def resolve_names(modules: ModuleIndex, path: str, names: ModuleNames) -> Iterator[str]:
    """Find the files of the imports in a source that count."""
    has_run = modules.has_run(path)
    for each in () if has_run and modules.is_standard(path) else names.loads:
        if not (each.instead_of and has_run and is_installed(path)):
            yield from modules.find(path, each)
    if modules.is_touched(path):
        for each in names.calls:
            yield from _skip_tools(modules, path, modules.find(path, each))


def find_modules_in_strings(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules of touched packages whose names are strings in a touched source.

    Settings name modules so: ``package.module``, ``package.module:attribute``,
    ``package.module.attribute``.
    """
    if not _is_source(context, path):
        return
    modules = get_module_index(context)
    if not modules.is_touched(path) or path.endswith(_PICKLES):
        return

    def find_files(names: ModuleNames) -> Iterator[str]:
        for text in names.strings:
            files = modules.find(path, Import(text.partition(":")[0]))
            if files and modules.is_touched(files[0]):
                yield from _skip_tools(modules, path, files)

    yield from _find_new_files(context, path, find_files, Reason.PYTHON_STRING_IMPORT)


def find_deferred_imports(context: RuleContext, path: str) -> Iterator[str]:
    """Find the files that an implied source would import later: in functions, or by a call.

    No rule adds them.
    """
    modules = get_module_index(context)
    if not path.endswith(".py") or modules.is_touched(path) or not _is_source(context, path):
        return
    text = _read(context, path)[0]
    names = parse_source(text, SourceContext(version=modules.find_version(path)))
    for each in names.calls if names else ():
        yield from _skip_tools(modules, path, modules.find(path, each))


def _find_new_files(
    context: RuleContext,
    path: str,
    find_files: Callable[[ModuleNames], Iterable[str]],
    reason: Reason,
) -> Iterator[Need]:
    """Find the files that no other source implied. A source is only parsed if it may have some."""
    known = _get_known_files(context, reason)
    text, scan = _read(context, path)
    either = scan.loads | scan.calls
    new = {*find_files(scan._replace(loads=either, calls=either))} - known
    # A statement at the beginning of a line, outside any block, is certain without a parser.
    certain = ModuleNames(scan.loads, frozenset(), frozenset())
    if not new <= {*find_files(certain)}:
        has_calls = CALL.search(text) or CODEC.search(text)
        is_deep = reason is Reason.PYTHON_STRING_IMPORT or has_calls is not None
        names = _parse(context, path, text, is_deep=is_deep)
        new = {*find_files(names), *find_files(certain)} - known if names else new
    for each in sorted(new):
        known.add(each)
        if _is_loadable(context, each):
            yield _make_need(each, reason)


@lru_cache(maxsize=16)
def _get_known_files(context: RuleContext, reason: Reason) -> set[str]:
    """The files that are kept already, or that the rule has already found."""
    return {*context.touched} if reason else set()


@lru_cache(maxsize=2)
def _read(context: RuleContext, path: str) -> tuple[str, ModuleNames]:
    text = context.root.head(path, _MAX_SOURCE_BYTES).decode("utf-8", "replace")
    return text, scan_source(text)


@lru_cache(maxsize=2)
def _parse(context: RuleContext, path: str, text: str, *, is_deep: bool) -> ModuleNames | None:
    """Parse a source. A touched module of the app may be the main module."""
    modules = get_module_index(context)
    is_main = modules.is_touched(path) and modules.is_from_app(path)
    is_standard = modules.is_standard(path)
    here = SourceContext(is_main, modules.find_version(path))
    return parse_source(text, here, is_deep=is_deep, is_standard=is_standard)


def _is_loadable(context: RuleContext, path: str) -> bool:
    """Whether all modules exist that an installed source needs to be loaded.

    Some modules need another distribution that is not installed. Importing them raises ImportError,
    whether they are in the image or not.
    """
    modules = get_module_index(context)
    if not path.endswith(".py") or not is_installed(path) or modules.is_touched(path):
        return True
    text = context.root.head(path, _MAX_SOURCE_BYTES).decode("utf-8", "replace")

    def is_incomplete(names: Iterable[Import]) -> bool:
        tops = {each.module.partition(".")[0] for each in names if not each.level}
        return not all(modules.has_module(path, top) for top in tops)

    is_broken = is_incomplete(scan_source(text).loads) and is_incomplete(parse_unconditional(text))
    return not is_broken


def _skip_tools(modules: ModuleIndex, path: str, files: Iterable[str]) -> Iterator[str]:
    """Skip files that only developers use, unless the app itself or a test imports them."""
    if modules.is_from_app(path) or _TESTS.search(path):
        yield from files
    else:
        yield from (each for each in files if not (_TESTS.search(each) or _TOOLS.search(each)))


def _make_need(path: str, reason: Reason) -> Need:
    return Need(path, reason, load=path.endswith(".so"))


def _is_source(context: RuleContext, path: str) -> bool:
    """Whether the file is a Python source, by its suffix or by the first line of a script."""
    root = context.root
    if path.endswith(".py"):
        return root.kind(path) is Kind.FILE
    fingerprint = root.fingerprint(path)
    if "." in path.rpartition("/")[2] or fingerprint is None or path not in context.touched:
        return False
    is_program = root.kind(path) is Kind.FILE and fingerprint.mode & 0o111
    return bool(is_program and _SCRIPT.match(root.head(path, 256)))
