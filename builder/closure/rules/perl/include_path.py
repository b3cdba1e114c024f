"""The directories in which perl searches modules (@INC), as far as the runs and sources show."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.file_facts import is_source, read_source
from slimtrace.builder.closure.rules.perl.path_evaluation import PerlPaths, evaluate_paths
from slimtrace.builder.closure.rules.perl.perl_source import PACKAGE, make_file_name, strip_source
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext

_SOURCES = (".pm", ".pl", ".al", ".ph", ".PL", ".t", ".psgi", ".cgi", ".fcgi")

_PATHS = re.compile(rb"\0(/[\x21-\x7e]*perl[\x21-\x7e]*)(?=\0)")
"""The directories of @INC that are compiled into perl, as C strings."""

_PERL = re.compile(r"(?:.*/)?(?:perl[\d.]*|libperl\.so[\d.]*)")
_MAX_PERL_BYTES = 16 << 20

_OPTION = re.compile(r"#![^\n]*perl[^\n]*?\s-I\s*(\S+)")


def is_perl_source(context: RuleContext, path: str) -> bool:
    """Whether the file at an own path is Perl code, by its suffix or its first line."""
    return is_source(context, path, _SOURCES, "perl")


@lru_cache(maxsize=64)
def read_code(context: RuleContext, path: str) -> str:
    """Read a source without its documentation and comments."""
    return strip_source(read_source(context, path))


@lru_cache(maxsize=4)
def list_roots(context: RuleContext) -> Mapping[str, str]:
    """List the directories of @INC, each with its own path.

    They come from PERL5LIB, from the paths of touched modules, from ``use lib`` and ``-I`` in
    touched sources, and from perl itself.
    """
    roots: dict[str, None] = {}
    for folder in context.environment.read_search_path(
        "PERL5LIB"
    ) or context.environment.read_search_path("PERLLIB"):
        roots.update(dict.fromkeys(_list_arch_folders(context, folder)))
    for path in sorted(context.touched):
        if path.endswith(".pm"):
            for package in PACKAGE.findall(read_source(context, path)):
                if path.endswith(f"/{make_file_name(package)}"):
                    roots[path.removesuffix(f"/{make_file_name(package)}")] = None
        elif _PERL.fullmatch(path) and context.root.kind(path) is Kind.FILE:
            compiled = _PATHS.findall(context.root.head(path, _MAX_PERL_BYTES))
            roots.update(dict.fromkeys(name.decode() for name in compiled))
    for path in _list_scripts(context):
        for folder in _list_script_libraries(context, path):
            roots.update(dict.fromkeys(_list_arch_folders(context, folder)))
    own = {root: context.root.resolve(root) for root in roots}
    return {root: resolved.path for root, resolved in own.items() if resolved.exists}


@lru_cache(maxsize=2)
def _list_scripts(context: RuleContext) -> tuple[str, ...]:
    """List the Perl programs that the runs read, outside the system's directories."""
    return tuple(
        path
        for path in sorted(context.touched)
        if not path.endswith((".pm", ".so"))
        and not path.startswith(("/usr/lib/", "/usr/share/", "/lib/", "/etc/"))
        and is_perl_source(context, path)
    )


def _list_script_libraries(context: RuleContext, path: str) -> Iterator[str]:
    for folder in read_paths(context, path).libraries:
        yield context.environment.make_absolute(folder)
    for match in _OPTION.finditer(read_source(context, path)[:256]):
        yield context.environment.make_absolute(match[1])


@lru_cache(maxsize=2048)
def read_paths(context: RuleContext, path: str) -> PerlPaths:
    """Evaluate the paths that a source puts together."""
    code = read_code(context, path)
    folder = path.rpartition("/")[0]
    if path.endswith(".pm"):
        folders = {script.rpartition("/")[0] for script in _list_scripts(context)}
        folder = folders.pop() if len(folders) == 1 else ""
    return evaluate_paths(code, path, folder)


@lru_cache(maxsize=4)
def index_roots(context: RuleContext) -> Mapping[str, list[str]]:
    """The directories of @INC that have a name: the first part of a module's name."""
    found: dict[str, list[str]] = {}
    for root, own in list_roots(context).items():
        for name in context.root.listdir(own):
            found.setdefault(name.removesuffix(".pm"), []).append(root)
    return {name: [*dict.fromkeys(roots)] for name, roots in found.items()}


def _list_arch_folders(context: RuleContext, folder: str) -> Iterator[str]:
    """List a directory of PERL5LIB and its subdirectories for a version or machine (perlrun)."""
    yield folder
    for name in context.root.listdir(context.root.resolve(folder).path):
        if re.match(r"5\.\d+", name) or "-linux" in name:
            yield from _list_arch_folders(context, f"{folder}/{name}")
