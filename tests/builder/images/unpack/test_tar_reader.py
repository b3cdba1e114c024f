"""The tar reader, with archives of real tars and with arbitrary bytes."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import entry, tar
from requirements import need
from tree_images import make_varied_tree

from slimtrace.builder.images.unpack import pax
from slimtrace.builder.images.unpack.bytestream import FileStream, PieceStream
from slimtrace.builder.images.unpack.tar_reader import TarMember, TarReader
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(data: bytes, size: int = 1 << 20) -> list[tuple[TarMember, bytes]]:
    """All members with their contents, read in pieces of ``size`` bytes."""
    reader = TarReader(PieceStream(pieces(data, size)), "x")
    return [(member, b"".join(reader.pieces())) for member in reader]


def fill_holes(member: TarMember, stored: bytes) -> bytes:
    """A file's contents, with its holes filled."""
    if member.sparse is None:
        return stored
    found = bytearray(member.sparse.size)
    at = 0
    for offset, size in member.sparse.pieces:
        found[offset : offset + size] = stored[at : at + size]
        at += size
    return bytes(found)


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", categories=("L", "N", "P", "S", "Zs")),
    min_size=1,
    max_size=140,
).filter(lambda name: name not in {".", ".."})
numbers = st.one_of(st.integers(0, 1 << 21), st.integers(0, (1 << 32) - 2))


@st.composite
def infos(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo("/".join(draw(st.lists(names, min_size=1, max_size=4))))
    info.type = draw(
        st.sampled_from(
            [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
        )
    )
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(numbers), draw(numbers)
    info.mtime = draw(st.integers(-(1 << 33), 1 << 33))
    data = draw(st.binary(max_size=2000)) if info.type == tarfile.REGTYPE else b""
    info.size = len(data)
    if info.type in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
        info.linkname = draw(names)
    return info, data


@settings(deadline=None, max_examples=150)
@given(
    st.lists(infos(), max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3000),
)
def test_what_python_writes(
    members: list[tuple[tarfile.TarInfo, bytes]], form: int, size: int
) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form, encoding="utf-8") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    found = read(data.getvalue(), size)
    assert [
        (each.name.rstrip("/"), each.type, each.mode, each.uid, each.gid, each.mtime_ns, content)
        for each, content in found
    ] == [
        (info.name.rstrip("/"), info.type, info.mode, info.uid, info.gid, info.mtime * 10**9, data)
        for info, data in members
    ]
    assert [each.target for each, _ in found] == [info.linkname for info, _ in members]


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=3000), st.integers(1, 2000))
def test_any_bytes(data: bytes, size: int) -> None:
    with contextlib.suppress(SlimtraceError):
        read(data, size)


SPARSE_1 = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.realsize": "5000",
    "GNU.sparse.name": "s",
}
SPECIMENS = [
    tar(entry("name" * 50, data=b"x" * 700, uid=1 << 30, mtime=1.5)),
    tar(entry("s", data=b"1\n4000\n3\n".ljust(512, b"\0") + b"abc", pax_headers=SPARSE_1)),
    tar(entry("s", data=b"abc", pax_headers={"GNU.sparse.size": "9", "GNU.sparse.map": "2,3"})),
    tar(entry("a", pax_headers={"SCHILY.xattr.user.x": "y", "path": "b", "size": "0"})),
]


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(SPECIMENS),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=12)), max_size=4),
    st.integers(0, 4096),
    st.booleans(),
)
def test_any_damage(data: bytes, changes: list[tuple[int, bytes]], length: int, mend: bool) -> None:
    """Also with a correct checksum, so that the other fields are read."""
    damaged = bytearray(data)
    for at, new in changes:
        damaged[at : at + len(new)] = new
    for at in range(0, len(damaged) - 511 if mend else 0, 512):
        block = damaged[at : at + 512]
        if block[257:262] == b"ustar":
            total = sum(block[:148]) + sum(block[156:]) + 256
            damaged[at + 148 : at + 156] = b"%06o\0 " % total
    try:
        found = read(bytes(damaged[: max(length, 512)]))
    except SlimtraceError:
        return
    for member, content in found:
        assert (member.sparse is None) == (len(content) == member.size) or member.sparse


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_records(body: bytes) -> None:
    try:
        records = pax.parse_records(body)
    except pax.MalformedHeader:
        return
    again = b"".join(b" %b=%b\n" % record for record in records)
    assert len(again) <= len(body)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (b"0", 0),
        (b"1.5", 1_500_000_000),
        (b"1.", 10**9),
        (b"1.0000000019", 1_000_000_001),
        (b"-1", -(10**9)),
        (b"-1.5", -1_500_000_000),
        (b"-0.0000000001", -1),
    ],
)
def test_times(text: bytes, nanoseconds: int) -> None:
    assert pax.parse_time(text) == nanoseconds


@pytest.mark.parametrize("text", [b"", b".5", b"1e3", b"+1", b"1_0", b" 1", b"9" * 13, b"nan"])
def test_times_that_are_none(text: bytes) -> None:
    with pytest.raises(pax.MalformedHeader):
        pax.parse_time(text)


FORMATS = {
    "gnu": ["tar", "--format=gnu", "--sparse"],
    "gnu --format=pax": ["tar", "--format=pax"],
    **{
        f"sparse {version}": ["tar", "--format=pax", "--sparse", f"--sparse-version={version}"]
        for version in ("0.0", "0.1", "1.0")
    },
    "bsdtar pax": ["bsdtar", "--format=pax"],
    "bsdtar gnutar": ["bsdtar", "--format=gnutar"],
}


@pytest.mark.parametrize("command", FORMATS.values(), ids=FORMATS)
def test_what_tars_write(tmp_path: Path, command: list[str]) -> None:
    """Names, owners, times, links and sparse files, as lstat(2) returns them."""
    need(command[0])
    root = tmp_path / "root"
    make_varied_tree(root)
    with open(root / "usr/holes", "wb") as file:
        for number in range(200):
            file.seek(number * 20_000)
            file.write(b"%d" % number)
    if command[0] == "bsdtar":  # it has no times before 1970
        os.utime(root / "usr/sparse", (1, 1))
    path = tmp_path / "made.tar"
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    argv = [*command, "-cf", str(path), "-C", str(root), "."]
    subprocess.run(argv, check=True, env=environment, capture_output=True)
    with open(path, "rb") as archive:
        reader = TarReader(FileStream(archive.fileno()), "x")
        found = [(member, b"".join(reader.pieces())) for member in reader]
    assert len(found) == 1 + sum(len([*d, *f]) for _, d, f in os.walk(root))
    exact = "pax" in str(command)
    for member, stored in found:
        status = os.lstat(os.path.join(root, member.name))
        size = status.st_size if member.type == b"0" else 0
        assert (member.mode, member.size) == (stat.S_IMODE(status.st_mode), size)
        assert (member.uid, member.gid) == (status.st_uid, status.st_gid)
        # GNU's format cannot store fractions of a second.
        unit = 1 if exact else 10**9
        assert member.mtime_ns // unit == status.st_mtime_ns // unit
        if member.type == b"2":
            assert member.target == os.readlink(os.path.join(root, member.name))
        if member.type == b"0":
            with open(os.path.join(root, member.name), "rb") as file:
                assert fill_holes(member, stored) == file.read()
    sparse = {member.name for member, _ in found if member.sparse is not None}
    assert (sparse == {"./usr/holes", "./usr/sparse"}) == (
        "--sparse" in command or (exact and command[0] == "bsdtar")
    )


def test_what_old_tars_wrote() -> None:
    """No magic, directories marked by their names, signed checksums, numbers with spaces."""
    block = bytearray(512)
    block[:5] = b"dir\xff/"
    block[100:108] = b"   755 \0"
    total = sum(block) + 256 - 256  # 0xff is -1 as a signed byte
    block[148:156] = b"%06o\0 " % total
    ((member, _),) = read(bytes(block))
    assert (member.name, member.type, member.mode) == ("dir\udcff/", b"5", 0o755)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (tar(entry("a", data=b"x"))[:600], "truncated"),
        (tar(entry("a", data=b"x"))[:700], "truncated"),
        (entry("a")[:100], "truncated"),
        (entry("a" * 200)[:1024], "truncated"),
        (b"x" * 512, "not a number"),
        (entry("a").replace(b"0000644", b"0000645"), "checksum is wrong"),
        (bytes(512) + entry("a"), "data after its end"),
        (tar(entry("a", pax_headers={"size": "-1"})), "size is not a number"),
        (tar(entry("a", pax_headers={"size": "9" * 19})), "is not from 0"),
        (tar(entry("a", pax_headers={"uid": "4294967295"})), "is not from 0"),
        (tar(entry("a", pax_headers={"mtime": "9" * 12})), "mtime"),
        (tar(entry("a", pax_headers={"path": "a\0b"})), "NUL"),
        (tar(entry("a", pax_headers={"path": "a" * 5000})), "longer than 4095"),
        (tar(entry("a", pax_headers={"x": "a" * (1 << 21)})), "the limit is 1048576"),
        (tar(entry("a", pax_headers={"GNU.sparse.size": "1", "GNU.sparse.map": "0,9"})), "holes"),
        (
            tar(entry("a", pax_headers={"GNU.sparse.size": "9", "GNU.sparse.map": "5,1,0,1"})),
            "order",
        ),
        (tar(entry("a", pax_headers={"GNU.sparse.size": "9", "GNU.sparse.map": "1"})), "pairs"),
    ],
)
def test_what_is_damaged(data: bytes, cause: str) -> None:
    with pytest.raises(SlimtraceError, match=cause) as raised:
        read(data)
    assert raised.value.message.startswith("cannot read x: ")
