"""Computes checksums of an image's files while its layer is written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from slimtrace.builder.root.contents import read_contents
from slimtrace.builder.sbom.bom import KeptFile, escape_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Entry

_Key = str | tuple[int, int]


class Checksums:
    """SHA-256 and SHA-1 of files; each is read once. SPDX requires SHA-1 (2.3, section 8.4)."""

    def __init__(self) -> None:
        self._known: dict[_Key, tuple[str, str]] = {}

    def read(self, entry: Entry) -> Iterator[bytes]:
        """Yield the entry's bytes, as ``contents`` does, and remember its checksums.

        :raises SlimtraceError: it cannot be read.
        """
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        for data in read_contents(entry):
            sha256.update(data)
            sha1.update(data)
            yield data
        self._known[_key(entry)] = (sha256.hexdigest(), sha1.hexdigest())

    def hash_file(self, entry: Entry) -> KeptFile:
        """The file with its checksums; it is read now if it was not before.

        :raises SlimtraceError: it cannot be read.
        """
        if _key(entry) not in self._known:
            for _ in self.read(entry):
                pass
        return KeptFile(escape_path(entry.path), *self._known[_key(entry)])


def _key(entry: Entry) -> _Key:
    return entry.path if entry.hardlink is None else entry.hardlink
