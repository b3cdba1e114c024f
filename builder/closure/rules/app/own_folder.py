"""The application's own folders are kept whole.

They are those from which a run read a file that no package owns: no package of the system, and
none of a language. What the system's packages share, such as /usr/lib and /etc, is no such folder.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound, measure, take_within
from slimtrace.builder.closure.rules.app.leavings import is_leaving_file, is_leaving_folder
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.languages.library_folders import is_library
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext
    from slimtrace.builder.root.root import Root

BOUND = Bound(files=20_000, size=128 << 20)

_SHARED = re.compile(
    r"/|/(?:data|home|media|mnt|opt|root|srv|usr|var|etc)"
    r"|/home/[^/]+|/var/www|/usr/src"
    r"|(?:/usr)?/(?:s?bin|lib|lib32|lib64|libx32|libexec|share|include|games|etc)"
    r"|/usr/local(?:/(?:s?bin|lib|lib64|libexec|share|include|games|etc|src|opt))?"
    r"|/(?:usr|usr/local)/share/(?:fonts|icons|man|doc|locale|applications)"
)
"""Folders for several applications (hier(7))."""

_PLACE = re.compile(r"/(?:srv|usr/src|var/www|home/[^/]+)")
"""Shared folders that are an application's own if one of its files is directly in them."""

_STATE = re.compile(
    r"/(?:boot|dev|proc|run|sys|tmp|var/(?:cache|lib|lock|log|mail|opt|run|spool|tmp))(?:/.*)?"
    r"|/etc/(?:alternatives|pki|ssl|ca-certificates|ld\.so\.conf\.d)(?:/.*)?"
    r"|(?:/usr)?/lib(?:32|64|x32)?(?:/.*)?|/usr/(?:s?bin|libexec|games|include)(?:/.*)?"
    r"|/usr/share/(?:mime|icons|fonts|locale|zoneinfo|i18n|doc|man|info)(?:/.*)?"
    r"|/root/\.[^/]+(?:/.*)?|/home/[^/]+/\.[^/]+(?:/.*)?"
)
"""The system's own folders, whose files its tools make too; state; and settings of a user."""

_WEB_ROOT = re.compile(r"/var/lib/[^/]+/webapps/.+|/usr/share/[^/]+/html(?:/.*)?")
"""Folders of servers' packages into which applications are put."""

_INTERPRETER = re.compile(
    r".*/(?:(?:lib|lib64|libexec|share|local|opt)/(?:R|(?:python|pypy|perl|ruby|lua|php|tcl|tk"
    r"|erlang|elixir|node|ghc|ocaml|guile)[\d.]*)"
    r"|jvm|node_modules|(?:site|dist)-packages|gcc|pkgconfig|cmake)"
)
"""Folders that an interpreter's or a compiler's installation has, each with a rule of its own or
kept by evidence. An app may have a folder R or python for its own code."""

_JVM = "/lib/jvm.cfg"
"""A file that each JVM has; its folder is kept by evidence, wherever it is."""

_ASIDE = frozenset({"pyvenv.cfg", "oci-layout"})
"""A folder with one of these names is a virtual environment or an image layout."""

_IMAGE_MEMBERS = (b"blobs/", b"oci-layout", b"index.json", b"manifest.json", b"repositories")
"""Names with which an archive of an image begins."""

_PREFIX = frozenset({"bin", "lib", "include"})
"""What an installation of a language or a server has in its folder, as /usr has: it is shared."""


def find_own_files(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find the files of the application's own folder that a file is in."""
    if not _may_be_own(context, path):
        return
    done = context.get_done(Reason.OWN_FOLDER)
    for folder in _find_own_folders(context, path.rpartition("/")[0] or "/"):
        if folder in done or _is_owned(context, path):
            return
        done.add(folder)
        found = [*list_own_files(context, folder)]
        answer = [*take_within(context, Reason.OWN_FOLDER, folder, found, BOUND)]
        yield from answer
        if found and len(answer) == len(found):
            return


def list_own_folders(context: RuleContext) -> set[str]:
    """List the widest of the application's own folders from which a run read a file."""
    found: set[str] = set()
    for path in sorted(context.read):
        if _may_be_own(context, path):
            folders = _find_own_folders(context, path.rpartition("/")[0] or "/")
            if folders and folders[0] not in found and not _is_owned(context, path):
                found.add(folders[0])
    return found


def _may_be_own(context: RuleContext, path: str) -> bool:
    """Whether a file may be the application's, by its path; its owner is looked up later."""
    if path not in context.read or context.root.kind(path) is not Kind.FILE:
        return False
    return not (is_library(path) or (_STATE.fullmatch(path) and not _WEB_ROOT.fullmatch(path)))


@lru_cache(maxsize=4096)
def _find_own_folders(context: RuleContext, folder: str) -> tuple[str, ...]:
    """Find the application's own folders that contain a folder, the widest first."""
    above = [*list_parents(f"{folder.rstrip('/')}/.")]
    own: list[str] = []
    for each in above[1:]:
        name = each.rpartition("/")[2]
        if _is_interpreter(context, each) or is_leaving_folder(name):
            return tuple(own)
        if not _is_shared(context, each):
            own.append(each)
    if not own and (_PLACE.fullmatch(folder) or _WEB_ROOT.fullmatch(folder)):
        own.append(folder)
    cwd = context.environment.cwd
    if own and _PLACE.fullmatch(cwd) and own[0].startswith(f"{cwd}/"):
        own.insert(0, cwd)
    return tuple(own)


def _is_interpreter(context: RuleContext, folder: str) -> bool:
    is_jvm = context.root.kind(f"{folder}{_JVM}") is Kind.FILE
    return is_jvm or _INTERPRETER.fullmatch(folder) is not None


@lru_cache(maxsize=4096)
def _is_shared(context: RuleContext, folder: str) -> bool:
    """Whether a folder has files of several applications or packages."""
    if _SHARED.fullmatch(folder) or folder in _list_package_folders(context.root):
        return True
    names = context.root.listdir(folder)
    return _PREFIX.issubset(names) or _PREFIX.issubset(
        context.root.listdir(folder.rpartition("/")[0] or "/")
    )


@lru_cache(maxsize=2)
def _list_package_folders(root: Root) -> frozenset[str]:
    """The folders with files of the system's packages, as own paths and as databases list them."""
    index = get_package_index(root)
    found: set[str] = set()
    for package in index.system if index.is_readable else ():
        for file in package.files:
            folder = file.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
    return frozenset({*found, *map(index.own_path, found)})


def _is_owned(context: RuleContext, path: str) -> bool:
    index = get_package_index(context.root)
    return bool(index.system_owner(path) or index.library_owners(path))


def list_own_files(context: RuleContext, top: str) -> Iterator[str]:
    """List the files of an application's folder; not those of packages and of installations."""
    pending = [top]
    index = get_package_index(context.root)
    count = size = 0
    while pending:
        folder = pending.pop()
        names = context.root.listdir(folder)
        if folder != top and (not _ASIDE.isdisjoint(names) or _PREFIX.issubset(names)):
            continue
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            relative = path[len(top.rstrip("/")) + 1 :]
            if context.root.kind(path) is Kind.DIRECTORY:
                if not (is_leaving_folder(relative) or _is_interpreter(context, path)):
                    pending.append(path)
            elif not (
                is_leaving_file(relative)
                or index.system_owner(path)
                or _is_from_slimtrace(context, path)
            ):
                yield path
                count += 1
                size += measure(context, path)
                if count > BOUND.files or size > BOUND.size:
                    return  # enough to know that there are too many


def _is_from_slimtrace(context: RuleContext, path: str) -> bool:
    """Whether a file is a trace, or an image in an archive, that slimtrace left in a project."""
    if path.endswith(".trace"):
        return context.root.head(path, 16).startswith(b'{"slimtrace":')
    return path.endswith(".tar") and context.root.head(path, 32).startswith(_IMAGE_MEMBERS)


RULE = ClosureRule(
    Reason.OWN_FOLDER,
    find_own_files,
    "the rest of a folder from which a run read a file that no package owns (/srv/app, /app, "
    "/opt/app, /var/www/html, /usr/local/lib/app). Without data of version control, caches, tests, "
    "documentation and leavings of a build; nothing of a folder of more than 128 MiB or 20,000 "
    "files, but its subfolders that were used",
    Keep.APP,
)
