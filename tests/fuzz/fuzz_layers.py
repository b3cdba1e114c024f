"""Fuzz layers of any bytes: nothing is written outside the folder, and its tree equals the index.

An input is a byte of flags (compression, and whether header checksums are corrected), then layers
with a separator line between them.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import zstandard
from tree_check import check_tree
from watch import Watch

from slimtrace.builder.images.unpack.decompress import ExpectedDigest, open_layer
from slimtrace.builder.images.unpack.layers import Unpacker
from slimtrace.builder.images.unpack.limits import UnpackLimits
from slimtrace.builder.images.unpack.tar_reader import TarReader
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    import random

    from slimtrace.builder.root.layer_index import LayerIndex

SEPARATOR = b"\n--layer--\n"
BLOCK = 512
FIX_CHECKSUMS, GZIP, ZSTD = 1, 2, 4
_FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100),
           (257, 8), (329, 8), (337, 8), (345, 155), (386, 24), (482, 1), (483, 12))  # fmt: skip
_NUMBERS = (b"", b"0", b"7", b"777", b"1000", b"7777777", b"-1", b" 1 ", b"\x80\x01", b"\xff" * 12,
            b"\x80" + bytes(11))  # fmt: skip
_NAMES = (b"", b".", b"..", b"/", b"a", b"a/b", b"../x", b"/../../x", b"link", b"link/x", b"up/x",
          b".wh.a", b".wh..wh..opq", b"a/.wh..wh..opq", b".wh.", b".wh...", b".wh..wh.plnk", b"a/",
          b"d/e/f/g", b"./a", b"a//b", b"\xff", b"x" * 100)  # fmt: skip
_KINDS = b"0123456789LKxgSV\0"


class Target:
    """The code under test, with its own directory."""

    def __init__(self, box: str) -> None:
        self._box = box
        self._root = os.path.join(box, "root")
        self._outside = os.path.join(box, "outside")
        os.mkdir(self._outside)
        with open(os.path.join(self._outside, "file"), "w") as file:
            file.write("not the image's")
        self._before = self._stat_outside()
        self._watch = Watch(self._root, "/proc/self/uid_map")

    def one(self, data: bytes) -> bool:
        """Return whether the layers were accepted.

        :raises AssertionError: a property that must always hold does not.
        """
        os.mkdir(self._root, 0o700)
        try:
            with self._watch.on():
                index = _unpack(self._root, data)
            assert self._stat_outside() == self._before
            if index is not None:
                check_tree(self._root, index)
            return index is not None
        finally:
            remove_tree(self._root)

    def _stat_outside(self) -> list[object]:
        file = os.lstat(os.path.join(self._outside, "file"))
        folder = os.lstat(self._outside)
        return [
            sorted({*os.listdir(self._box)} - {"root"}),
            os.listdir(self._outside),
            (file.st_nlink, file.st_mode, file.st_uid, file.st_size, file.st_mtime_ns),
            (folder.st_mode, folder.st_uid, folder.st_mtime_ns),
        ]

    def seeds(self) -> list[bytes]:
        """Return valid layers."""
        plain = [b"\1" + layer for layer in layers(self._box)]
        packed = [bytes([how]) + layer for how in (GZIP, ZSTD) for layer in layers(self._box)[:2]]
        stored = [b"\0" + gzip.compress(layers(self._box)[0], 1, mtime=0)]
        stored.append(b"\0" + zstandard.compress(layers(self._box)[0]))
        return [*plain, *packed, *stored, b"\1" + SEPARATOR.join(layers(self._box))]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Change a field of a header, or the order of headers."""
        tars = data[1:].split(SEPARATOR)
        at = rng.randrange(len(tars))
        tars[at] = mutate_tar(tars[at], rng)
        return data[:1] + SEPARATOR.join(tars)


def _unpack(place: str, data: bytes) -> LayerIndex | None:
    left = UnpackLimits(8 << 20, 300)
    unpacker = Unpacker(place, left)
    try:
        for layer in data[1:].split(SEPARATOR):
            blob = compress_layer(
                fix_checksums(layer) if data[0] & FIX_CHECKSUMS else layer, data[0]
            )
            expected = ExpectedDigest(size=len(blob))
            with open_layer(io.BytesIO(blob), "layer", expected, left) as stream:
                unpacker.layer(TarReader(stream, "layer"), "layer")
        return unpacker.finish()
    except SlimtraceError:
        return None
    finally:
        unpacker.close()


def compress_layer(layer: bytes, how: int) -> bytes:
    """Compress a layer as the flags say."""
    if how & GZIP:
        return gzip.compress(layer, 1, mtime=0)
    return zstandard.compress(layer, 1) if how & ZSTD else layer


def fix_checksums(tar: bytes) -> bytes:
    """Correct the checksum of each header of an archive."""
    archive = bytearray(tar)
    for at in range(0, len(archive) - BLOCK + 1, BLOCK):
        if archive[at + 257 : at + 262] == b"ustar":
            archive[at + 148 : at + 156] = b" " * 8
            archive[at + 148 : at + 156] = b"%06o\0 " % sum(archive[at : at + BLOCK])
    return bytes(archive)


def mutate_tar(tar: bytes, rng: random.Random) -> bytes:
    """Change a header of an archive, or the order of its blocks."""
    blocks = [tar[at : at + BLOCK] for at in range(0, len(tar), BLOCK)]
    headers = [at for at, block in enumerate(blocks) if block[257:262] == b"ustar"]
    if not headers:
        return tar
    at = rng.choice(headers)
    match rng.randrange(5):
        case 0:
            blocks.insert(at, blocks[rng.choice(headers)])
        case 1:
            del blocks[at]
        case 2:
            other = rng.choice(headers)
            blocks[at], blocks[other] = blocks[other], blocks[at]
        case _:
            start, length = rng.choice(_FIELDS)
            choice = _NAMES if length >= 100 else _NUMBERS
            value = bytes([rng.choice(_KINDS)]) if length == 1 else rng.choice(choice)
            value = value[:length].ljust(length, b"\0")
            blocks[at] = blocks[at][:start] + value + blocks[at][start + length :]
    return b"".join(blocks)


def layers(outside: str) -> list[bytes]:
    """Return archives of every format of a layer; a symlink in them leads to ``outside``."""
    return [
        _every_kind(tarfile.PAX_FORMAT, outside),
        _every_kind(tarfile.GNU_FORMAT, outside),
        _whiteouts(),
        _through_links(outside),
        *_sparse(),
    ]


def _every_kind(form: int, outside: str) -> bytes:
    made = io.BytesIO()
    pax = form == tarfile.PAX_FORMAT
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        _add(tar, "a", tarfile.DIRTYPE, mode=0o750)
        _add(tar, "a/b", content=b"text", mode=0o4755, uid=3, gid=4, mtime=1.5 if pax else 1)
        _add(tar, "a/long/" + "n" * 120, content=b"x" * 600)
        _add(tar, "link", tarfile.SYMTYPE, linkname=f"{outside}/outside")
        _add(tar, "up", tarfile.SYMTYPE, linkname="../" * 30 + "t" * 80)
        _add(tar, "again", tarfile.LNKTYPE, linkname="a/b")
        _add(tar, "fifo", tarfile.FIFOTYPE)
        _add(tar, "null", tarfile.CHRTYPE, devmajor=1, devminor=3)
        if pax:
            records = {
                "SCHILY.xattr.user.note": "value",
                "SCHILY.xattr.trusted.overlay.opaque": "y",
            }
            _add(tar, "noted", content=b"1", pax_headers=records)
            _add(tar, "a/big-ids", uid=3_000_000, gid=3_000_000)
    return made.getvalue()


def _whiteouts() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        _add(tar, "a/.wh.b")
        _add(tar, "d/.wh..wh..opq")
        _add(tar, "d/new", content=b"new")
        _add(tar, ".wh.again")
        _add(tar, ".", tarfile.DIRTYPE, mode=0o711)
    return made.getvalue()


def _through_links(outside: str) -> bytes:
    """Make entries through symlinks that lead out; they must be resolved in the image."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "out", tarfile.SYMTYPE, linkname=f"{outside}/outside")
        _add(tar, "out/made", content=b"inside")
        _add(tar, "up", tarfile.SYMTYPE, linkname="../outside")
        _add(tar, "up/made", content=b"inside")
        _add(tar, "../outside/file", content=b"inside")
        _add(tar, "hard", tarfile.LNKTYPE, linkname="../outside/file")
        _add(tar, "out/.wh.file")
    return made.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    content: bytes = b"",
    **said: object,
) -> None:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = len(content)
    for key, value in said.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def _sparse() -> list[bytes]:
    """Make a sparse file with GNU tar, in each of its formats."""
    with open("sparse", "wb") as file:
        file.write(b"start")
        file.seek(100_000)
        file.write(b"middle")
        file.truncate(300_000)
    forms = ("gnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax")
    commands = [
        ["tar", "-b1", "-cSf", "-", *f"--format={form}".split(), "sparse"] for form in forms
    ]
    made = [subprocess.run(each, check=True, capture_output=True).stdout for each in commands]
    os.unlink("sparse")
    return made
