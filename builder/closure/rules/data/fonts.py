"""Fonts: the text that is drawn decides which one is read."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule, LimitMet
from slimtrace.builder.closure.rules.app.bounds import Bound, measure
from slimtrace.builder.closure.rules.data.family import (
    get_owner,
    get_suffix,
    is_state,
    take_data,
    walk_files,
)
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.root.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

BOUND = Bound(files=1_000, size=32 << 20)

_SUFFIXES = frozenset(
    (
        ".ttf",
        ".ttc",
        ".otf",
        ".otc",
        ".pfb",
        ".pfa",
        ".afm",
        ".t1",
        ".pcf",
        ".bdf",
        ".woff",
        ".woff2",
    )
)
_LIBRARY = re.compile(r".*/libfontconfig\.so[\d.]*")
_SETTINGS = "/etc/fonts"
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")
_DIR = re.compile(r"<dir[^>]*>([^<]+)</dir>")
_FAMILY = re.compile(r"<family>([^<]+)</family>")


def find_fonts(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the fonts beside one that a run read, and those that fontconfig finds.

    :raises SlimtraceError: a package database cannot be read.
    """
    done = context.get_done(Reason.FONT)
    if get_suffix(path) in _SUFFIXES:
        folder = path.rpartition("/")[0]
        if path in context.read and folder not in done and not is_state(folder):
            done.add(folder)
            owner, suffix = get_owner(context, path), get_suffix(path)
            files = walk_files(context, folder, is_deep=False)
            same = (file for file in files if get_suffix(file) == suffix)
            own = (file for file in same if get_owner(context, file) is owner)
            yield from take_data(context, Reason.FONT, folder, own, BOUND)
    elif path.startswith("/usr/lib") and _LIBRARY.fullmatch(path) and _LIBRARY not in done:
        done.add(_LIBRARY)
        yield from (Need(file, Reason.FONT) for file in _list_settings(context))
        yield from _take_configured(context)


def _take_configured(context: RuleContext) -> Iterator[Need | LimitMet]:
    """Take all fonts that fontconfig finds; if they are too many, those that its settings name."""
    files = [
        file
        for folder in _list_font_folders(context)
        for file in walk_files(context, folder)
        if get_suffix(file) in _SUFFIXES
    ]
    taken = [*take_data(context, Reason.FONT, _FOLDERS[0], files, BOUND)]
    yield from taken
    if any(isinstance(need, LimitMet) for need in taken):
        families = _list_families(context)
        named = [file for file in files if _flatten(os.path.basename(file)).startswith(families)]
        size = sum(measure(context, file) for file in named)
        if len(named) <= BOUND.files and size <= BOUND.size:
            yield from (Need(file, Reason.FONT) for file in named)


def _list_settings(context: RuleContext) -> Iterator[str]:
    folder = f"{_SETTINGS}/conf.d"
    yield from (f"{_SETTINGS}/fonts.conf", f"{_SETTINGS}/local.conf")
    yield from (f"{folder}/{name}" for name in context.root.listdir(folder))


def _list_font_folders(context: RuleContext) -> list[str]:
    text = read_text(context.root, f"{_SETTINGS}/fonts.conf")
    named = (folder.strip() for folder in _DIR.findall(text))
    folders = {folder for folder in (*_FOLDERS, *named) if folder.startswith("/")}
    own = {context.root.resolve(folder).path for folder in folders}
    tops = {folder for folder in own if context.root.kind(folder) is Kind.DIRECTORY}
    return sorted(f for f in tops if not any(f.startswith(f"{other}/") for other in tops))


@lru_cache(maxsize=2)
def _list_families(context: RuleContext) -> tuple[str, ...]:
    """List the families in fontconfig's settings, as names of files begin."""
    texts = (read_text(context.root, file) for file in _list_settings(context))
    found: Iterable[str] = (name for text in texts for name in _FAMILY.findall(text))
    return tuple(sorted({_flatten(name) for name in found if len(name) > 3}))


def _flatten(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


RULE = ClosureRule(
    Reason.FONT,
    find_fonts,
    "the fonts in the folder of one that a run read; where fontconfig is kept, its settings and "
    "the fonts that it finds or, if these are more than 32 MiB, the families that its settings "
    "name",
    Keep.APP,
)
