"""The modules that a Python source names: what :mod:`source_scan` and :mod:`source` find."""

from __future__ import annotations

from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import NamedTuple

DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
"""The name of a module, as a regular expression."""
CODEC_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
REFERENCE = rf"{DOTTED}:{DOTTED}|[^\W\d]\w*(?:\.[^\W\d]\w*)+"
"""``package.module`` or ``package.module:attribute``."""


class Import(NamedTuple):
    """An import (language reference, "The import statement").

    :ivar module: its name without leading dots.
    :ivar names: the names after ``from … import``; each may be a module.
    :ivar level: the number of leading dots; 0 for an absolute import.
    :ivar instead_of: the imports that this one replaces: it is in their ``except ImportError``.
    """

    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    instead_of: tuple[Import, ...] = ()


class ModuleNames(NamedTuple):
    """The modules that a source names.

    :ivar loads: imports outside functions: they run when the source is loaded.
    :ivar calls: imports in functions, or by a call of, for example, ``importlib.import_module``,
        ``encode`` or ``decode``.
    :ivar called: those of ``calls`` that run when the source is loaded, because code outside
        functions calls the function.
    :ivar strings: constants that look like ``package.module`` or ``package.module:attribute``.
    :ivar patterns: names of modules to import that are put together: :mod:`partial_names`.
    :ivar paths: names of files that are put together.
    """

    loads: frozenset[Import]
    calls: frozenset[Import]
    strings: frozenset[str]
    called: frozenset[Import] = frozenset()
    patterns: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()


def resolve_codec(name: str) -> Import:
    """Find the module of a codec, as the module encodings does."""
    normalized = normalize_encoding(name).lower()
    return Import(f"encodings.{aliases.get(normalized, normalized)}")


def resolve_call(module: str, package: str) -> Import:
    """Resolve a relative name in the given package, else leave it relative to the importer."""
    name = module.lstrip(".")
    level = len(module) - len(name)
    if level and package:
        above = package.split(".")
        return Import(".".join([*above[: len(above) - level + 1], name]))
    return Import(name, (), level)
