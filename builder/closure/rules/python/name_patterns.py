"""At the level ``app``: modules and data files whose name a kept source puts together.

The constant part names a package or a folder, and what fits the pattern there may be needed:
``import_module(f"pkg.backends._{name}")``, ``files("pkg") / "data"``, ``BASE_DIR / "locale"``.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.app.bounds import Bound, take_within
from slimtrace.builder.closure.rules.app.leavings import is_leaving_file, is_leaving_folder
from slimtrace.builder.closure.rules.python.constant_parts import OWN_FILE, PACKAGE, UNKNOWN
from slimtrace.builder.closure.rules.python.modules import get_module_index
from slimtrace.builder.closure.rules.python.source_files import (
    is_loadable,
    is_source,
    may_have_patterns,
    parse_file,
)
from slimtrace.builder.closure.rules.python.tool_modules import skip_tools
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext

BOUND = Bound(files=2_000, size=64 << 20)
"""For one folder that a pattern names."""
_SYSTEM = re.compile(r"/|/(?:boot|dev|etc|proc|run|sys|tmp|usr|lib\d*|s?bin|var)(?:/[^/]+){0,2}")
"""Folders that a name put together from ``__file__`` does not mean as a whole."""


def find_named_modules(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the modules that fit the patterns of the imports in a source."""
    if not _may_have_names(context, path):
        return
    names = parse_file(context, path)
    modules = get_module_index(context)
    done = context.get_done(Reason.PYTHON_NAME_PATTERN)
    for pattern in sorted(names.patterns) if names else ():
        files = [*skip_tools(modules, path, modules.find_fitting(path, pattern))]
        new = [each for each in files if each not in done and is_loadable(context, each)]
        done.update(new)
        if new:
            folder = posixpath.dirname(new[-1])
            yield from take_within(context, Reason.PYTHON_NAME_PATTERN, folder, new, BOUND)


def find_named_data(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the files whose path a source puts together from its own place or a package's."""
    is_standard = get_module_index(context).is_standard(path)
    if is_standard or not _may_have_names(context, path):
        return
    names = parse_file(context, path)
    done = context.get_done(Reason.PYTHON_DATA)
    for pattern in sorted(names.paths) if names else ():
        for place in _list_places(context, path, pattern):
            if place not in done:
                done.add(place)
                folder = place.partition(UNKNOWN)[0].rpartition("/")[0]
                files = [*_find_fitting_files(context, path, place)]
                yield from take_within(context, Reason.PYTHON_DATA, folder, files, BOUND)


def _may_have_names(context: RuleContext, path: str) -> bool:
    return (
        is_source(context, path) and may_have_patterns(context, path) and is_loadable(context, path)
    )


def _list_places(context: RuleContext, path: str, pattern: str) -> Iterator[str]:
    """List the absolute paths that a path with a marked beginning stands for."""
    if pattern.startswith(OWN_FILE):
        yield posixpath.normpath(path + pattern[len(OWN_FILE) :])
        return
    package, _, rest = pattern[1:].partition(PACKAGE)
    own = path.rpartition("/")[0]
    modules = get_module_index(context)
    is_own = not package.strip("\3")
    for folder in (own,) if is_own else modules.find_folders(path, package):
        yield posixpath.normpath(folder + rest)


def _find_fitting_files(context: RuleContext, importer: str, place: str) -> Iterator[str]:
    """Find the files that fit an absolute pattern, and those in the folders that fit it."""
    found = ["/"]
    for name in place.split("/")[1:]:
        if UNKNOWN not in name:
            found = [f"{folder.rstrip('/')}/{name}" for folder in found]
            continue
        fits = re.compile("[^/]+".join(map(re.escape, re.split(f"{UNKNOWN}+", name))))
        found = [
            f"{folder.rstrip('/')}/{each}"
            for folder in found
            for each in context.root.listdir(context.root.resolve(folder).path)
            if fits.fullmatch(each)
        ]
    for path in found:
        own = context.root.resolve(path)
        kind = context.root.kind(own.path) if own.exists else None
        if kind is Kind.FILE and not _is_program(context, own.path):
            yield path
        elif kind is Kind.DIRECTORY and not _is_shared(importer, own.path):
            yield from _list_below(context, own.path)


def _is_shared(importer: str, folder: str) -> bool:
    """Whether a folder is one of the system's, or contains the source that names it."""
    return _SYSTEM.fullmatch(folder) is not None or importer.startswith(f"{folder}/")


def _list_below(context: RuleContext, top: str) -> Iterator[str]:
    pending = [top]
    count = 0
    while pending and count <= BOUND.files:
        folder = pending.pop()
        for name in context.root.listdir(folder):
            path = f"{folder}/{name}"
            relative = path[len(top) + 1 :]
            if context.root.kind(path) is Kind.DIRECTORY:
                pending += [] if is_leaving_folder(relative) else [path]
            elif not is_leaving_file(relative) and not _is_program(context, path):
                count += 1
                yield path


def _is_program(context: RuleContext, path: str) -> bool:
    """Whether a file is executable; libraries that are do not count."""
    return context.root.is_executable(path) and ".so" not in path.rpartition("/")[2]
