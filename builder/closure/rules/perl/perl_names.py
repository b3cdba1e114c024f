"""What Perl code names by strings and by names of which a part is computed.

As ``"Shop::Plugin::$name"``, ``use Module::Pluggable``, the tables of Encode and of Template, and
paths below the source's own folder.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.file_facts import is_file
from slimtrace.builder.closure.rules.name_pattern import find_matches, is_near
from slimtrace.builder.closure.rules.perl.include_path import (
    is_perl_source,
    list_roots,
    read_code,
    read_paths,
)
from slimtrace.builder.closure.rules.perl.perl_modules import find_module_files
from slimtrace.builder.closure.rules.perl.perl_source import make_file_name, scan_names
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.name_pattern import Pattern

_CORE = re.compile(
    r"/usr/(?:share|lib/[^/]+)/perl/5\.|.*/(?:perl-base|core_perl)/|.*/lib/(?:perl5/)?5\.\d+\.\d+/"
)
"""Perl's own library: Debian's, Alpine's, and that of an installation from source."""

_MAX_SIBLINGS = 512

_NO_NAMESPACES = frozenset({"CORE", "SUPER", "main", "UNIVERSAL", "GLOB", "CODE"})
_TOOLS = re.compile(
    r"/(?:CPAN|Test2?|TAP|App/Prove|ExtUtils|Pod|Module/Build|Perl/OSType|Devel|B|Debconf|inc)(?:/|\.pm$)"
)
"""Modules for developers, which others name for when they are used as a command."""


def find_named_modules(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules that Perl code names in a string, or of whose names it knows a part."""
    if not is_perl_source(context, path):
        return
    implied = context.get_done(Reason.PERL_PLUGIN)
    files = {*_find_named_files(context, path)} - implied
    implied |= files
    for file in sorted(files):
        if not _TOOLS.search(file) or _TOOLS.search(path):
            yield Need(file, Reason.PERL_PLUGIN)


def find_computed_paths(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the files whose paths Perl code puts together from its own folder.

    A path in full counts, and what fits one of which a part is computed. A folder counts with all
    its files, unless the source itself lies below it.
    """
    if not is_perl_source(context, path):
        return
    paths = read_paths(context, path)
    for folder in sorted(paths.libraries):
        if not folder.startswith("/") and (folder == "." or _CORE.match(path)):
            continue  # perl's own modules name the working directory for other reasons
        for file in _list_folder(context, path, context.environment.make_absolute(folder)):
            yield Need(file, Reason.PERL_PATH, load=file.endswith(".so"))
    for pattern in sorted(each for each in paths.paths if is_near(path, each.text)):
        for file in _find_path_files(context, path, pattern):
            yield Need(file, Reason.PERL_PATH, load=file.endswith(".so"))


def _find_named_files(context: RuleContext, path: str) -> Iterator[str]:
    names = scan_names(read_code(context, path), path)
    is_core = _CORE.match(path) is not None
    for module in names.modules:
        file = make_file_name(module)
        if not is_core or f"/{file.partition('/')[0]}" in path:
            yield from find_module_files(context, path, file)
    for prefix in names.prefixes - _NO_NAMESPACES:
        if not is_core or f"/{prefix.replace('::', '/').partition('/')[0]}" in path:
            yield from _list_namespace(context, prefix.replace("::", "/"), is_deep=False)
    for namespace in names.namespaces:
        if not is_core:
            yield from _list_namespace(context, namespace.replace("::", "/"), is_deep=True)


@lru_cache(maxsize=512)
def _list_namespace(context: RuleContext, folder: str, *, is_deep: bool) -> tuple[str, ...]:
    """List the modules directly below a name in all roots of @INC, or all below it."""
    found: list[str] = []
    for root in list_roots(context):
        top = f"{root}/{folder}"
        if is_deep:
            files = [*list_files(context.root, top)]
        else:
            own = context.root.resolve(top)
            files = [f"{top}/{name}" for name in context.root.listdir(own.path) if own.exists]
        found += [each for each in files if each.endswith(".pm") and is_file(context, each)]
    return tuple(found) if len(found) <= _MAX_SIBLINGS else ()


def _find_path_files(context: RuleContext, path: str, pattern: Pattern) -> Iterable[str]:
    if pattern.folder in list_roots(context):
        return ()
    if not pattern.is_constant:
        return find_matches(context.root, pattern)
    return _list_folder(context, path, pattern.text)


def _list_folder(context: RuleContext, path: str, text: str) -> Iterable[str]:
    """List the files of a folder that is not above the source; or the file itself."""
    own = context.root.resolve(text)
    if not own.exists or context.root.kind(own.path) is not Kind.DIRECTORY:
        return [text]
    is_above = path.startswith(f"{own.path.rstrip('/')}/")
    return () if is_above else list_files(context.root, text)
