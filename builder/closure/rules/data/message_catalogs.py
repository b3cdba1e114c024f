"""Messages in the languages of users: the same file under the names of other languages."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound
from slimtrace.builder.closure.rules.data.family import get_owner, take_data
from slimtrace.builder.closure.rules.data.language_tags import is_language, split_language
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.languages.library_folders import is_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext

BOUND = Bound(files=1_000, size=16 << 20)
"""For one file in all languages."""

_SUFFIXES = (
    *(".mo", ".gmo", ".po", ".yml", ".yaml", ".json", ".json5", ".toml", ".ini", ".properties"),
    *(".qm", ".lang", ".ftl", ".arb", ".resx", ".resources", ".xlf", ".xliff", ".xml", ".res"),
    *(".strings", ".php", ".js", ".lua", ".txt", ".html", ".htm", ".md", ".sys", ".hlp", ".msg"),
    *(".cfg", ".conf", ".dat", ".csv", ".bin", ".tt", ".ejs", ".erb", ".hbs", ".tpl", ".j2"),
)
_GETTEXT = re.compile(r"(.*)/([^/]+)/LC_MESSAGES/([^/]+\.mo)")
_SYSTEM = re.compile(r"/usr/share/locale(?:-langpack)?")
_LOCALES = "/usr/lib/locale"
_ARCHIVE_HEAD_BYTES = 1 << 20
"""locale-archive has its names in front of the locales."""
_ARCHIVE_NAME = re.compile(rb"\0([a-z]{2,3}_[A-Z]{2}[\w.@-]*)(?=\0)")


def find_catalogs(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the same file in other languages as one that a run read, or looked for.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path == "/":
        for missing in context.missing:
            match = _GETTEXT.fullmatch(missing)
            if match and is_language(match.group(2)):
                yield from _take(context, match.group(1), match.group(3), None)
        return
    if path not in context.read or not path.endswith(_SUFFIXES) or is_library(path):
        return
    match = _GETTEXT.fullmatch(path)
    if match:
        yield from _take(context, match.group(1), match.group(3), path)
        return
    found = [*_list_in_folders(context, path), *_list_beside(context, path)]
    if found:
        owner = get_owner(context, path)
        files = (file for file in found if get_owner(context, file) is owner)
        folder = os.path.dirname(os.path.dirname(path))
        yield from take_data(context, Reason.MESSAGE_CATALOG, folder, files, BOUND)


def _take(context: RuleContext, top: str, name: str, read: str | None) -> Iterator[Need | LimitMet]:
    """Take a domain's gettext catalogs.

    glibc reads those in the system's folder only for locales that are installed.
    """
    top = context.root.resolve(top).path
    done = context.get_done(Reason.MESSAGE_CATALOG)
    if (top, name) in done:
        return
    done.add((top, name))
    languages = [each for each in _list_folders(context, top) if is_language(each)]
    if _SYSTEM.fullmatch(top):
        installed = _list_installed_languages(context)
        languages = [each for each in languages if not installed.isdisjoint(_list_names(each))]
    files = [f"{top}/{language}/LC_MESSAGES/{name}" for language in languages]
    if read is not None:
        owner = get_owner(context, read)
        files = [file for file in files if get_owner(context, file) is owner]
    yield from take_data(context, Reason.MESSAGE_CATALOG, top, _only_files(context, files), BOUND)


def _list_names(language: str) -> tuple[str, str]:
    return language, re.split(r"[_.@-]", language, maxsplit=1)[0]


def _list_in_folders(context: RuleContext, path: str) -> Iterator[str]:
    """List ``xx/REST`` beside ``en/REST``: by the innermost folder that says a language."""
    names = path.split("/")
    for at in range(len(names) - 2, 1, -1):
        if is_language(names[at]):
            above, rest = "/".join(names[:at]), names[at + 1 :]
            spoken = [each for each in _list_folders(context, above) if is_language(each)]
            files = (
                f"{above}/{each}/{'/'.join(_rename(rest, names[at], each))}" for each in spoken
            )
            yield from _only_files(context, files)
            return


def _rename(rest: list[str], old: str, new: str) -> list[str]:
    """``messages.en.yml`` below ``en`` is ``messages.de.yml`` below ``de``."""
    stem, suffix = os.path.splitext(rest[-1])
    split = split_language(stem)
    return [*rest[:-1], f"{split[0]}{new}{suffix}"] if split and split[1] == old else rest


def _list_beside(context: RuleContext, path: str) -> Iterator[str]:
    """List ``app.xx.yml`` beside ``app.en.yml``, and beside ``app.properties``."""
    folder, _, name = path.rpartition("/")
    stem, suffix = os.path.splitext(name)
    split = split_language(stem)
    if split is None and suffix not in {".properties", ".resx", ".resources"}:
        return
    prefixes = (split[0],) if split else (f"{stem}_", f"{stem}.")
    others = _index_languages(context, folder)
    for prefix in prefixes:
        yield from others.get((prefix, suffix), ())


@lru_cache(maxsize=256)
def _index_languages(context: RuleContext, folder: str) -> dict[tuple[str, str], list[str]]:
    """What is before and after the language in a name → the files with such names."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in context.root.listdir(folder):
        stem, suffix = os.path.splitext(name)
        split = split_language(stem)
        path = f"{folder}/{name}"
        if split and context.root.kind(context.root.resolve(path).path) is Kind.FILE:
            found.setdefault((split[0], suffix), []).append(path)
    return found


@lru_cache(maxsize=256)
def _list_folders(context: RuleContext, folder: str) -> tuple[str, ...]:
    root = context.root
    names = root.listdir(folder)
    return tuple(
        n for n in names if root.kind(root.resolve(f"{folder}/{n}").path) is Kind.DIRECTORY
    )


def _only_files(context: RuleContext, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        own = context.root.resolve(path)
        if own.exists and context.root.kind(own.path) is Kind.FILE:
            yield path


@lru_cache(maxsize=2)
def _list_installed_languages(context: RuleContext) -> frozenset[str]:
    """List the languages of the locales that the full image has: ``pt_BR`` and ``pt``."""
    root = context.root
    names = [name for name in root.listdir(_LOCALES) if name not in {"C.utf8", "C.UTF-8"}]
    archive = root.resolve(f"{_LOCALES}/locale-archive")
    if archive.exists and root.kind(archive.path) is Kind.FILE:
        head = root.head(archive.path, _ARCHIVE_HEAD_BYTES)
        names += [os.fsdecode(name) for name in _ARCHIVE_NAME.findall(head)]
    plain = {name.partition(".")[0].partition("@")[0] for name in names}
    return frozenset({*plain, *(name.partition("_")[0] for name in plain)})


RULE = ClosureRule(
    Reason.MESSAGE_CATALOG,
    find_catalogs,
    "the same file in the other languages: `locale/XX/LC_MESSAGES/NAME.mo` of each domain that a "
    "run read or looked for, `XX/…` beside `en/…`, `app.XX.yml` beside `app.en.yml`, "
    "`messages_XX.properties`. Of the system's catalogs in /usr/share/locale only those of "
    "installed locales: without the locale glibc does not read them",
    Keep.APP,
)
