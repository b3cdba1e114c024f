"""Of a source its compiled twin, of a compiled file its source (PEP 3147).

A compiled file without its source cannot be imported from ``__pycache__``, and a source without
its compiled file is compiled at every start where the image is read-only.
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
"""Python/frozen.c since 3.11, but for its tests."""
_FILE = re.compile(
    rf"/python3\.(?P<minor>\d+)t?/(?:{'|'.join(_FROZEN)})\.py$"
    rf"|/python3\.(?P<cached>\d+)t?/(?:importlib/)?__pycache__"
    rf"/(?:{'|'.join(name.rpartition('/')[2] for name in _FROZEN)})\.cpython-[^/]*\.pyc$"
)
_FIRST = 11


def is_frozen(path: str) -> bool:
    """Whether it is the source of such a module, or compiled of it.

    A run with ``-X frozen_modules=off`` touches these files.
    """
    match = _FILE.search(path)
    return match is not None and int(match["minor"] or match["cached"]) >= _FIRST


CACHE = "__pycache__"

_COMPILED = re.compile(r"(?P<name>.+?)\.(?P<tag>[a-z]+-?\d+\w*(?:\.opt-\w+)?)\.pyc")
"""``importlib.util.cache_from_source``: the interpreter's cache tag, and its optimization."""


def find_twin(context: RuleContext, path: str) -> Iterator[Need]:
    """The other file of the module that this one is a file of."""
    if path.endswith(".py"):
        found = (
            each for each in list_compiled_paths(path, list_tags(context)) if not is_frozen(each)
        )
        yield from (Need(each, Reason.PYTHON_TWIN) for each in found)
    elif path.endswith(".pyc"):
        yield Need(find_source_path(path), Reason.PYTHON_TWIN)


@lru_cache(maxsize=4)
def list_tags(context: RuleContext) -> tuple[str, ...]:
    """Of the interpreters that ran, as the compiled files that they read have them.

    As ``cpython-311``, and ``cpython-311.opt-1`` for one under ``-O``.
    """
    names = (path.rpartition("/")[2] for path in context.touched if path.endswith(".pyc"))
    found = (_COMPILED.fullmatch(name) for name in names)
    return tuple(sorted({match["tag"] for match in found if match}))


def list_compiled_paths(path: str, tags: tuple[str, ...]) -> tuple[str, ...]:
    """Where these interpreters keep what they compile of a source."""
    folder, _, name = path.rpartition("/")
    stem = name.removesuffix(".py")
    return tuple(f"{folder}/{CACHE}/{stem}.{tag}.pyc" for tag in tags)


def find_source_path(path: str) -> str:
    """What a compiled file was compiled of: beside it where it lies as before PEP 3147."""
    folder, _, name = path.rpartition("/")
    match = _COMPILED.fullmatch(name)
    if match is None or not folder.endswith(f"/{CACHE}"):
        return path.removesuffix("c")
    return f"{folder.removesuffix(f'/{CACHE}')}/{match['name']}.py"
