"""Locales that the runs' variables name, as setlocale(3) of glibc looks them up."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_glibc
from slimtrace.builder.model import Kind, Reason
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.root.root import Root

_FOLDER = "/usr/lib/locale"
_ARCHIVE = f"{_FOLDER}/locale-archive"
_ALIASES = "/usr/share/locale/locale.alias"
_BUILT_IN = frozenset({"", "C", "POSIX"})


def find_locales(context: RuleContext, path: str) -> Iterable[Need]:
    """The data of the runs' locales, where a glibc is kept.

    An archive (``localedef --list-archive``) that holds one is kept whole: it is one file, of
    some 3 MB for each locale in it. ``LOCPATH`` shuts it off (setlocale reads folders alone).
    """
    if not is_glibc(path):
        return
    names = list_locale_names(context.environment.env)
    folders = [folder for folder in context.environment.env.get("LOCPATH", "").split(":") if folder]
    for name in names:
        spellings = _spellings(name)
        if not folders and _archive_holds(context.root, spellings):
            yield Need(_ARCHIVE, Reason.LOCALE)
            continue
        for folder in folders or [_FOLDER]:
            place = _first(context.root, [f"{folder}/{spelling}" for spelling in spellings])
            if place is not None:
                yield from (Need(file, Reason.LOCALE) for file in _files(context.root, place))
                break
    if names:
        yield Need(_ALIASES, Reason.LOCALE)


def list_locale_names(env: Mapping[str, str]) -> list[str]:
    """The locales that the variables name (locale(7)), sorted, without those built in."""
    values = {
        value
        for name, value in env.items()
        if name == "LANG" or (name.startswith("LC_") and "/" not in value)
    }
    return sorted(values - _BUILT_IN)


def parse_codeset(name: str) -> str:
    """The character set in a locale's name, as written; "" where it says none."""
    return name.partition("@")[0].partition(".")[2]


def normalize_codeset(charset: str) -> str:
    """A codeset as glibc writes it in names of folders (_nl_normalize_codeset)."""
    plain = "".join(letter for letter in charset.lower() if letter.isalnum())
    return f"iso{plain}" if plain.isdigit() else plain


def _spellings(name: str) -> list[str]:
    """The folders that glibc tries for a locale, the most exact first (_nl_make_l10nflist)."""
    base, at, modifier = name.partition("@")
    language, _, charset = base.partition(".")
    sets = [f".{charset}", f".{normalize_codeset(charset)}", ""] if charset else [""]
    languages = [language, language.partition("_")[0]]
    found = [
        f"{spoken}{written}{variant}"
        for spoken in languages
        for variant in ([at + modifier, ""] if at else [""])
        for written in sets
    ]
    return list(dict.fromkeys(found))


def _archive_holds(root: Root, spellings: list[str]) -> bool:
    """Whether the archive has one of these names: it holds them as C strings (locarchive.h)."""
    found = root.resolve(_ARCHIVE)
    if not found.exists or root.kind(found.path) is not Kind.FILE:
        return False
    wanted = [f"\0{name}\0".encode() for name in spellings if "." in name] or [
        f"\0{name}\0".encode() for name in spellings
    ]
    try:
        with (
            root.open(found.path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return any(data.find(name) >= 0 for name in wanted)
    except (SlimtraceError, OSError, ValueError):
        return False


def _first(root: Root, places: list[str]) -> str | None:
    for place in places:
        found = root.resolve(place)
        if found.exists and root.kind(found.path) is Kind.DIRECTORY:
            return place
    return None


def _files(root: Root, place: str) -> Iterator[str]:
    """The files of one locale: LC_MESSAGES is a folder, all others lie flat."""
    for name in root.listdir(root.resolve(place).path):
        inner = root.resolve(f"{place}/{name}").path
        if root.kind(inner) is Kind.DIRECTORY:
            yield from (f"{place}/{name}/{file}" for file in root.listdir(inner))
        else:
            yield f"{place}/{name}"


RULE = ClosureRule(Reason.LOCALE, find_locales)
