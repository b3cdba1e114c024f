"""What a module's code imports, or names by a string, and a run did not come to.

Touched modules ran: what their functions and branches import may be wanted on another day. But what
one of the standard library imports when it is loaded it imported in the run, and what any installed
one imports where another is lacking: neither changes with the day. What is only implied is followed
as far as it needs to be loaded.
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
"""What is there for developers, at a terminal too. Libraries have ways into it that no service
takes."""
_PICKLES = "/_compat_pickle.py"
"""A table of Python 2's names, for pickles: it imports none of them."""


def find_imported_modules(context: RuleContext, path: str) -> Iterator[Need]:
    """The modules that the file at an own path imports, and the packages that it lies in."""
    if path.endswith(".so"):
        files = _for_users(get_module_index(context), path, find_extension_imports(context, path))
        yield from (_need(each, Reason.PYTHON_IMPORT) for each in files)
    if not _is_source(context, path):
        return
    modules = get_module_index(context)
    yield from (_need(each, Reason.PYTHON_IMPORT) for each in modules.list_packages(path))

    def found(names: ModuleNames) -> Iterable[str]:
        return resolve_names(modules, path, names)

    yield from _news(context, path, found, Reason.PYTHON_IMPORT)


def resolve_names(modules: ModuleIndex, path: str, names: ModuleNames) -> Iterator[str]:
    """The files of what a source names in imports, as far as they count."""
    has_run = modules.has_run(path)
    for what in () if has_run and modules.is_standard(path) else names.loads:
        if not (what.instead_of and has_run and is_installed(path)):
            yield from modules.find(path, what)
    if modules.is_touched(path):
        for what in names.calls:
            yield from _for_users(modules, path, modules.find(path, what))


def find_modules_in_strings(context: RuleContext, path: str) -> Iterator[Need]:
    """The modules that constants of a touched source name, of packages that were touched.

    As settings do: ``package.module``, ``package.module:attribute``, ``package.module.attribute``.
    """
    if not _is_source(context, path):
        return
    modules = get_module_index(context)
    if not modules.is_touched(path) or path.endswith(_PICKLES):
        return

    def found(names: ModuleNames) -> Iterator[str]:
        for text in names.strings:
            files = modules.find(path, Import(text.partition(":")[0]))
            if files and modules.is_touched(files[0]):
                yield from _for_users(modules, path, files)

    yield from _news(context, path, found, Reason.PYTHON_STRING_IMPORT)


def find_deferred_imports(context: RuleContext, path: str) -> Iterator[str]:
    """The files that an implied source would import later: in functions, or by a call.

    No rule follows them.
    """
    modules = get_module_index(context)
    if not path.endswith(".py") or modules.is_touched(path) or not _is_source(context, path):
        return
    text = _read(context, path)[0]
    names = parse_source(text, SourceContext(version=modules.find_version(path)))
    for what in names.calls if names else ():
        yield from _for_users(modules, path, modules.find(path, what))


def _news(
    context: RuleContext, path: str, found: Callable[[ModuleNames], Iterable[str]], reason: Reason
) -> Iterator[Need]:
    """What is found of a source that no other brought: that alone is worth to parse it."""
    known = _known(context, reason)
    text, roughly = _read(context, path)
    either = roughly.loads | roughly.calls
    news = {*found(roughly._replace(loads=either, calls=either))} - known
    # What begins a line outside any block needs no closer look.
    sure = ModuleNames(roughly.loads, frozenset(), frozenset())
    if not news <= {*found(sure)}:
        has_calls = CALL.search(text) or CODEC.search(text)
        is_deep = reason is Reason.PYTHON_STRING_IMPORT or has_calls is not None
        names = _parsed(context, path, text, is_deep=is_deep)
        news = {*found(names), *found(sure)} - known if names else news
    for each in sorted(news):
        known.add(each)
        if _is_loadable(context, each):
            yield _need(each, reason)


@lru_cache(maxsize=16)
def _known(context: RuleContext, reason: Reason) -> set[str]:
    """What a rule need not name (again): it is kept already."""
    return {*context.touched} if reason else set()


@lru_cache(maxsize=2)
def _read(context: RuleContext, path: str) -> tuple[str, ModuleNames]:
    text = context.root.head(path, _MAX_SOURCE_BYTES).decode("utf-8", "replace")
    return text, scan_source(text)


@lru_cache(maxsize=2)
def _parsed(context: RuleContext, path: str, text: str, *, is_deep: bool) -> ModuleNames | None:
    """An app's own module may be what was started: then what it does as ``__main__`` counts."""
    modules = get_module_index(context)
    is_main = modules.is_touched(path) and modules.is_from_app(path)
    is_standard = modules.is_standard(path)
    here = SourceContext(is_main, modules.find_version(path))
    return parse_source(text, here, is_deep=is_deep, is_standard=is_standard)


def _is_loadable(context: RuleContext, path: str) -> bool:
    """Whether an installed source finds all that it cannot be loaded without.

    An extra that needs another distribution, which is not installed, ends in ImportError with it
    as without it.
    """
    modules = get_module_index(context)
    if not path.endswith(".py") or not is_installed(path) or modules.is_touched(path):
        return True
    text = context.root.head(path, _MAX_SOURCE_BYTES).decode("utf-8", "replace")

    def lacks(names: Iterable[Import]) -> bool:
        tops = {what.module.partition(".")[0] for what in names if not what.level}
        return not all(modules.has_module(path, top) for top in tops)

    return not (lacks(scan_source(text).loads) and lacks(parse_unconditional(text)))


def _for_users(modules: ModuleIndex, path: str, files: Iterable[str]) -> Iterator[str]:
    """Without what only developers use, unless the app itself or a test asks for it."""
    if modules.is_from_app(path) or _TESTS.search(path):
        yield from files
    else:
        yield from (each for each in files if not (_TESTS.search(each) or _TOOLS.search(each)))


def _need(path: str, reason: Reason) -> Need:
    return Need(path, reason, load=path.endswith(".so"))


def _is_source(context: RuleContext, path: str) -> bool:
    """Whether it is a Python source: by its name, or a script by its first line."""
    root = context.root
    if path.endswith(".py"):
        return root.kind(path) is Kind.FILE
    fingerprint = root.fingerprint(path)
    if "." in path.rpartition("/")[2] or fingerprint is None or path not in context.touched:
        return False
    is_program = root.kind(path) is Kind.FILE and fingerprint.mode & 0o111
    return bool(is_program and _SCRIPT.match(root.head(path, 256)))
