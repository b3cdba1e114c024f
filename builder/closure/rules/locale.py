"""The locales in the runs' variables, as glibc's setlocale(3) searches them."""

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
    """Find the data of the runs' locales, if glibc is kept.

    An archive (``localedef --list-archive``) that contains one of them is kept whole: it is one
    file, with about 3 MB for each locale. With ``LOCPATH``, setlocale does not read the archive.
    """
    if not is_glibc(path):
        return
    names = list_locale_names(context.environment.env)
    folders = [folder for folder in context.environment.env.get("LOCPATH", "").split(":") if folder]
    for name in names:
        spellings = _list_spellings(name)
        if not folders and _is_in_archive(context.root, spellings):
            yield Need(_ARCHIVE, Reason.LOCALE)
            continue
        for folder in folders or [_FOLDER]:
            locale = _find_folder(context.root, [f"{folder}/{spelling}" for spelling in spellings])
            if locale is not None:
                yield from (Need(file, Reason.LOCALE) for file in _list_files(context.root, locale))
                break
    if names:
        yield Need(_ALIASES, Reason.LOCALE)


def list_locale_names(env: Mapping[str, str]) -> list[str]:
    """List the locales in the variables (locale(7)), sorted, without the built-in ones."""
    values = {
        value
        for name, value in env.items()
        if name == "LANG" or (name.startswith("LC_") and "/" not in value)
    }
    return sorted(values - _BUILT_IN)


def parse_codeset(name: str) -> str:
    """Read the character set in a locale's name, as written; "" if there is none."""
    return name.partition("@")[0].partition(".")[2]


def normalize_codeset(charset: str) -> str:
    """Convert a codeset to glibc's spelling in directory names (_nl_normalize_codeset)."""
    plain = "".join(letter for letter in charset.lower() if letter.isalnum())
    return f"iso{plain}" if plain.isdigit() else plain


def _list_spellings(name: str) -> list[str]:
    """List the directories that glibc tries for a locale, best first (_nl_make_l10nflist)."""
    base, at, modifier = name.partition("@")
    language, _, charset = base.partition(".")
    sets = [f".{charset}", f".{normalize_codeset(charset)}", ""] if charset else [""]
    languages = [language, language.partition("_")[0]]
    spellings = [
        f"{each}{encoding}{variant}"
        for each in languages
        for variant in ([at + modifier, ""] if at else [""])
        for encoding in sets
    ]
    return list(dict.fromkeys(spellings))


def _is_in_archive(root: Root, spellings: list[str]) -> bool:
    """Whether the archive has one of these names, which are C strings in it (locarchive.h)."""
    own = root.resolve(_ARCHIVE)
    if not own.exists or root.kind(own.path) is not Kind.FILE:
        return False
    names = [f"\0{name}\0".encode() for name in spellings if "." in name] or [
        f"\0{name}\0".encode() for name in spellings
    ]
    try:
        with (
            root.open(own.path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return any(data.find(name) >= 0 for name in names)
    except (SlimtraceError, OSError, ValueError):
        return False


def _find_folder(root: Root, folders: list[str]) -> str | None:
    for folder in folders:
        own = root.resolve(folder)
        if own.exists and root.kind(own.path) is Kind.DIRECTORY:
            return folder
    return None


def _list_files(root: Root, folder: str) -> Iterator[str]:
    """List the files of one locale: LC_MESSAGES is a directory, all others are files."""
    for name in root.listdir(root.resolve(folder).path):
        inner = root.resolve(f"{folder}/{name}").path
        if root.kind(inner) is Kind.DIRECTORY:
            yield from (f"{folder}/{name}/{file}" for file in root.listdir(inner))
        else:
            yield f"{folder}/{name}"


RULE = ClosureRule(
    Reason.LOCALE,
    find_locales,
    "the locales that `LANG` and `LC_*` name",
)
