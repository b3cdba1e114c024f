"""Modules that CPython holds in itself, so that their files are never loaded."""

from __future__ import annotations

import re

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
