"""Applications of Erlang and Elixir: a folder for each (OTP Design Principles, "Applications").

``ebin/NAME.app`` describes the application NAME. Its folder is called NAME or NAME-VERSION, in a
release, an installation of OTP, and in what rebar3 and mix build.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.tables import read_text
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

LIBRARIES = (
    "/usr/lib/erlang/lib",
    "/usr/lib64/erlang/lib",
    "/usr/local/lib/erlang/lib",
    "/usr/lib/elixir/lib",
    "/usr/share/elixir/lib",
    "/usr/local/lib/elixir/lib",
)
"""Where Debian, Alpine, Fedora and the official images have the applications of OTP and Elixir."""

_FOLDERS = ("ebin", "priv", "consolidated")
"""Folders of an application that the runtime system reads. The others are its sources."""

_COMMENT = re.compile(r"%[^\n]*")
_ATOM = r"(?:[a-z][\w@]*|'[^'\n]+')"
_REQUIRES = re.compile(
    r"\{\s*(?:applications|included_applications|optional_applications)\s*,\s*"
    rf"\[(?P<names>(?:\s|,|{_ATOM})*)\]"
)
_VERSION = re.compile(r'\{\s*vsn\s*,\s*"([^"]*)"')


class OtpApplications:
    """The applications in one full image; each folder is read once."""

    kind = "otp"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._folder = lru_cache(maxsize=None)(self._read_folder)
        self._top = lru_cache(maxsize=None)(self._find_top)

    def owners(self, path: str) -> Iterator[Package]:
        """The application in whose folder the file is."""
        top = self._top(path.rpartition("/")[0])
        if top:
            yield self._folder(top)

    def required(self, package: Package) -> Iterator[Package]:
        """The applications that must run before it: beside it, or in the runtime system."""
        beside = package.records[0].rpartition("/ebin/")[0].rpartition("/")[0]
        for name in package.requires:
            folders = (self._find_application(top, name) for top in (beside, *LIBRARIES))
            found = next((folder for folder in folders if folder), None)
            if found is not None:
                yield self._folder(found)

    def _find_top(self, folder: str) -> str:
        """Find the application that a folder is in, upwards; "" if it is in none."""
        if not folder:
            return ""
        if self._root.kind(_get_record(folder)) is Kind.FILE:
            return folder
        return self._top(folder.rpartition("/")[0])

    def _find_application(self, library: str, name: str) -> str | None:
        """Find an application in a library; of several versions the last, as the code server."""
        own = self._root.resolve(library)
        names = self._root.listdir(own.path) if own.exists else []
        versions = [each for each in names if each == name or each.startswith(f"{name}-")]
        for each in sorted(versions, key=_get_version, reverse=True):
            folder = self._root.resolve(f"{own.path}/{each}")
            if folder.exists and self._root.kind(f"{folder.path}/ebin/{name}.app") is Kind.FILE:
                return folder.path
        return None

    def _read_folder(self, folder: str) -> Package:
        record = _get_record(folder)
        text = _COMMENT.sub("", read_text(self._root, record))
        lists = (match["names"] for match in _REQUIRES.finditer(text))
        requires = (name.strip("'") for names in lists for name in re.findall(_ATOM, names))
        version = _VERSION.search(text)
        name = record.rpartition("/")[2].removesuffix(".app")
        files = [file for each in _FOLDERS for file in list_files(self._root, f"{folder}/{each}")]
        return Package(
            "otp",
            name,
            version[1] if version else "",
            source=name,
            files=tuple(files),
            records=(record,),
            requires=tuple(dict.fromkeys(requires)),
        )


def _get_record(folder: str) -> str:
    name = folder.rpartition("/")[2]
    return f"{folder}/ebin/{re.sub(r'-[0-9].*', '', name)}.app"


def _get_version(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name.partition("-")[2])]
