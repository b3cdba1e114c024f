"""Keeps a source and its compiled file together (PEP 3147).

Python cannot import a compiled file in ``__pycache__`` without its source. If the image is
read-only, Python compiles a source without its compiled file at every start.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_FROZEN = (
    *("_collections_abc", "_sitebuiltins", "abc", "codecs", "genericpath", "io", "ntpath", "os"),
    *("posixpath", "runpy", "site", "stat", "zipimport"),
    *("importlib/_bootstrap", "importlib/_bootstrap_external", "importlib/machinery"),
    "importlib/util",
)
"""The modules in Python/frozen.c since 3.11, without those for tests."""
_FILE = re.compile(
    rf"/python3\.(?P<minor>\d+)t?/(?:{'|'.join(_FROZEN)})\.py$"
    rf"|/python3\.(?P<cached>\d+)t?/(?:importlib/)?__pycache__"
    rf"/(?:{'|'.join(name.rpartition('/')[2] for name in _FROZEN)})\.cpython-[^/]*\.pyc$"
)
_FIRST_MINOR = 11


def is_frozen(path: str) -> bool:
    """Whether the file is the source or the compiled file of a module that is built into Python.

    Python reads these files only with ``-X frozen_modules=off``; a run with it touches them.
    """
    match = _FILE.search(path)
    return match is not None and int(match["minor"] or match["cached"]) >= _FIRST_MINOR


def list_frozen_sources(folder: str) -> tuple[str, ...]:
    """List the paths of the sources of these modules in a standard library."""
    return tuple(f"{folder}/{name}.py" for name in _FROZEN)


CACHE = "__pycache__"

_COMPILED = re.compile(r"(?P<name>.+?)\.(?P<tag>[a-z]+-?\d+\w*(?:\.opt-\w+)?)\.pyc")
"""``importlib.util.cache_from_source``: the interpreter's cache tag, and its optimization."""


def find_twin(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the compiled file of a source, or the source of a compiled file.

    Not of a source that is kept with its whole package, or one of a hundred codecs: few of them are
    ever imported, and Python then compiles them. The compiled files would double their size.
    """
    if path.endswith(".py"):
        is_spare = path in context.whole or "/encodings/" in path
        if is_spare and path not in context.touched:
            return
        compiled = (
            each for each in list_compiled_paths(path, list_tags(context)) if not is_frozen(each)
        )
        yield from (Need(each, Reason.PYTHON_TWIN) for each in compiled)
    elif path.endswith(".pyc"):
        yield Need(find_source_path(path), Reason.PYTHON_TWIN)


@lru_cache(maxsize=4)
def list_tags(context: RuleContext) -> tuple[str, ...]:
    """List the cache tags of the interpreters that ran, from the compiled files that they read.

    A tag is ``cpython-311``, for example, or ``cpython-311.opt-1`` under ``-O``.
    """
    names = (path.rpartition("/")[2] for path in context.touched if path.endswith(".pyc"))
    matches = (_COMPILED.fullmatch(name) for name in names)
    return tuple(sorted({match["tag"] for match in matches if match}))


def list_compiled_paths(path: str, tags: tuple[str, ...]) -> tuple[str, ...]:
    """List the paths where interpreters with these tags store the compiled file of a source."""
    folder, _, name = path.rpartition("/")
    stem = name.removesuffix(".py")
    return tuple(f"{folder}/{CACHE}/{stem}.{tag}.pyc" for tag in tags)


def find_source_path(path: str) -> str:
    """Find the source of a compiled file. Before PEP 3147, both were in the same directory."""
    folder, _, name = path.rpartition("/")
    match = _COMPILED.fullmatch(name)
    if match is None or not folder.endswith(f"/{CACHE}"):
        return path.removesuffix("c")
    return f"{folder.removesuffix(f'/{CACHE}')}/{match['name']}.py"
