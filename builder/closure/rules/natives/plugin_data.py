"""Data of plugins: the scripts, dictionaries and tables that they read.

A package that brings plugins brings their data in a folder of the same program: an extension of a
database has its scripts there, a component of an office its toolbars.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound, take_within
from slimtrace.builder.closure.rules.app.leavings import is_leaving
from slimtrace.builder.closure.rules.natives.library_folder import is_named_as_library
from slimtrace.builder.closure.rules.natives.plugin_registry import list_registered
from slimtrace.builder.closure.rules.natives.plugin_sibling import find_loaded_plugin
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext
    from slimtrace.builder.packages.package import Package

BOUND = Bound(files=4096, size=32 << 20)

_PROGRAM = re.compile(r"(?:/.*)?/lib(?:exec|32|64|x32)?(?:/[^/]+-linux-[^/]+)?/([^/]+)(?:/|$)")
"""The folder of plugins is below one that has the program's name."""
_DATA_FOLDER = re.compile(r"(/(?:(?:.*/)?share|etc)/([^/.][^/]*))/")
_SHARED = re.compile(
    r"doc|doc-base|man|info|locale|zoneinfo|i18n|terminfo|mime|icons|fonts|themes|pixmaps|sounds"
    r"|applications|metainfo|appdata|bash-completion|zsh|fish|lintian|bug|gir-1\.0|vala|pkgconfig"
    r"|aclocal|keyrings|ca-certificates|misc|common-licenses|gdb|systemtap|nodejs|javascript|java"
    r"|perl|perl5|php|python3?|R|lua|ruby|rubygems-integration|tcltk|X11"
    r"|alternatives|apt|cron\..*|default|dpkg|init|init\.d|ld\.so\.conf\.d|logrotate\.d|pki"
    r"|profile\.d|rc\d\.d|skel|ssl|sudoers\.d|systemd|sysctl\.d|udev|update-motd\.d|xdg"
)
"""Names of folders below ``share`` and /etc that are not one program's."""


def find_plugin_data(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find the data of the package of a kept plugin, in the folders of its program.

    Of a folder that the runs used, or that has the program's name, also what other packages of the
    same source have there.

    :raises SlimtraceError: a package database cannot be read.
    """
    if not is_named_as_library(path) or not _is_plugin(context, path):
        return
    owner = get_package_index(context.root).system_owner(path)
    program = _PROGRAM.match(path)
    if owner is None or program is None:
        return
    done = context.get_done(Reason.PLUGIN_DATA)
    key = (owner.kind, owner.name, owner.architecture)
    if key not in done:
        done.add(key)
        yield from _list_needs(context, owner, program.group(1))


def _list_needs(context: RuleContext, owner: Package, program: str) -> Iterator[Need | LimitMet]:
    index, done = get_package_index(context.root), context.get_done(Reason.PLUGIN_DATA)
    relatives = [each for each in index.system if each.source == owner.source]
    used = {
        folder
        for folder in _list_data_folders(context, *relatives)
        if folder in _list_used_folders(context) or _has_name(folder, program)
    }
    own = {each for each in _list_data_folders(context, owner) if program in each.split("/")}
    for folder in sorted(used | own):
        if (folder, owner.source) in done:
            continue
        if folder in used:
            done.add((folder, owner.source))
        files = sorted(
            {
                file
                for package in (relatives if folder in used else [owner])
                for file in map(index.own_path, package.files)
                if file.startswith(f"{folder}/") and _is_data(context, file, folder)
            }
        )
        yield from take_within(context, Reason.PLUGIN_DATA, folder, files, BOUND)


def _has_name(folder: str, program: str) -> bool:
    """Whether a folder has a program's name: share/x of lib/x, and of lib/x-1.2 too."""
    name = folder.rpartition("/")[2]
    return program.startswith(name) and not program[len(name) :].strip("-._0123456789")


def _is_plugin(context: RuleContext, path: str) -> bool:
    """Whether a file is beside a plugin that the runs loaded, or in a registry that they read."""
    folder = path.rpartition("/")[0]
    return path in list_registered(context) or find_loaded_plugin(context, folder) is not None


def _list_data_folders(context: RuleContext, *packages: Package) -> set[str]:
    """List the folders of one program's data and settings that have files of these packages."""
    own_path = get_package_index(context.root).own_path
    files = (own_path(file) for package in packages for file in package.files)
    return {folder for file in files if (folder := _find_folder(file))}


def _find_folder(path: str) -> str | None:
    match = _DATA_FOLDER.match(path)
    return match.group(1) if match and not _SHARED.fullmatch(match.group(2)) else None


@lru_cache(maxsize=1)
def _list_used_folders(context: RuleContext) -> frozenset[str]:
    return frozenset(folder for path in context.touched if (folder := _find_folder(f"{path}/")))


def _is_data(context: RuleContext, path: str, top: str) -> bool:
    """Whether a file is data: no program, and no leaving such as a manual page."""
    own = context.root.resolve(path)
    if not own.exists or context.root.kind(own.path) is not Kind.FILE:
        return False
    is_program = context.root.is_executable(own.path)
    return not is_program and not is_leaving(path[len(top) + 1 :]) and "/man/" not in path


RULE = ClosureRule(
    Reason.PLUGIN_DATA,
    find_plugin_data,
    "data and settings of the packages of plugins that the rules above keep, in the folders of "
    "their program below `share` and /etc: scripts of extensions, dictionaries, tables. Of a "
    "folder that a run used or that has the program's name, also those of other packages of the "
    "same source. Nothing of a folder of more than 32 MiB or 4,096 files",
    Keep.APP,
)
