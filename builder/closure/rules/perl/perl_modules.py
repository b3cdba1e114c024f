"""The modules that a Perl program's files load by constant names (perlfunc: require; perlmod)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.file_facts import is_file
from slimtrace.builder.closure.rules.perl.include_path import (
    index_roots,
    is_perl_source,
    list_roots,
    read_code,
)
from slimtrace.builder.closure.rules.perl.perl_source import scan_loads
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

_UNICODE = ("/Unicode/UCD.pm", "/utf8_heavy.pl")
"""Modules that read tables of ``unicore/`` by computed names. Perl itself did until 5.30."""


def find_required_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules and files that Perl code loads by constant names, in any branch.

    It cannot know computed names. Text in a string or in a trailing comment may add a module that
    is not needed.
    """
    if not is_perl_source(context, path):
        return
    implied = context.get_done(Reason.PERL_REQUIRE)
    for name in sorted(set(scan_loads(read_code(context, path)))):
        for file in find_module_files(context, path, name):
            if file not in implied:
                implied.add(file)
                yield Need(file, Reason.PERL_REQUIRE)
    if path.endswith(_UNICODE):
        for root in list_roots(context):
            for file in list_files(context.root, f"{root}/unicore"):
                yield Need(file, Reason.PERL_REQUIRE)


def find_module_libraries(context: RuleContext, path: str) -> Iterator[Need]:
    """Find a module's native library, and the parts that AutoSplit moved to other files."""
    if not path.endswith(".pm") or context.root.kind(path) is not Kind.FILE:
        return
    for root, own in list_roots(context).items():
        if path.startswith(f"{own}/"):  # a module can be in several, one below the other
            module = path.removeprefix(f"{own}/").removesuffix(".pm")
            others = _index_auto_roots(context).get(module.partition("/")[0], ())
            beside = [*_find_auto_files(context, root, module)] if root in others else []
            yield from beside or (
                need for other in others for need in _find_auto_files(context, other, module)
            )


@lru_cache(maxsize=4)
def _index_auto_roots(context: RuleContext) -> dict[str, list[str]]:
    """The directories of @INC with native libraries of a name: the first part of a module's."""
    found: dict[str, list[str]] = {}
    for root in list_roots(context):
        for name in context.root.listdir(context.root.resolve(f"{root}/auto").path):
            found.setdefault(name, []).append(root)
    return found


def _find_auto_files(context: RuleContext, root: str, module: str) -> Iterator[Need]:
    """Find the files that XSLoader and AutoLoader load for a module in one root."""
    folder = f"{root}/auto/{module}"
    native = f"{folder}/{module.rpartition('/')[2]}.so"
    if is_file(context, native):
        yield Need(native, Reason.PERL_LIBRARY, load=True)
    own = context.root.resolve(folder)
    for name in context.root.listdir(own.path) if own.exists else ():
        if name.endswith((".al", ".ix")):
            yield Need(f"{folder}/{name}", Reason.PERL_LIBRARY)


def find_module_files(context: RuleContext, path: str, name: str) -> Iterable[str]:
    """Find a file to load: in the roots of @INC, by its path, or beside the script.

    The order of @INC is not known. So all files with the name count, unless one was touched, or one
    is in Debian's perl-base, which comes before perl's other directories.
    """
    if name.startswith(("/", "./", "../")):
        return [name if name.startswith("/") else context.environment.make_absolute(name)]
    beside = f"{path.rpartition('/')[0]}/{name}"
    found = _find_in_roots(context, name)
    return found or ([beside] if is_file(context, beside) else [])


@lru_cache(maxsize=8192)
def _find_in_roots(context: RuleContext, name: str) -> list[str]:
    roots = index_roots(context).get(name.partition("/")[0].removesuffix(".pm"), ())
    files = [f"{root}/{name}" for root in roots if is_file(context, f"{root}/{name}")]
    touched = [file for file in files if context.root.resolve(file).path in context.touched]
    if any("/perl-base/" in file for file in files):
        files = [file for file in files if not re.search(r"/perl/5\.", file)]
    return touched or files
