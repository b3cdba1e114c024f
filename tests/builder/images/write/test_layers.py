"""Layers: entries are stored exactly, the bytes are reproducible, and failures leave no files."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import platform
import resource
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from repository import ROOT as REPOSITORY
from repository import SUPPORT
from requirements import need
from tree_images import (
    describe_tree,
    interrupt_after,
    list_entries,
    make_file_entry,
    make_tree_image,
    make_varied_tree,
    small_disk,
)

from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.layer import write_layer
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.builder.model import Entry, Kind
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path


BUILD = """
import sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from tree_images import list_entries, make_tree_image
print(make_tree_image(list_entries(sys.argv[1]), Path(sys.argv[2])).digest)
"""


def test_umoci_unpacks_every_kind_of_entry_as_it_was(tmp_path: Path) -> None:
    need("umoci")
    make_varied_tree(tmp_path / "root")
    image = make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work")
    OciLayout(str(tmp_path / "layout"), "v1").write(image, ())
    argv = ["umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:v1", f"{tmp_path}/out"]
    if os.geteuid() != 0:
        argv.insert(3, "--rootless")
    subprocess.run(argv, check=True, capture_output=True)
    want = describe_tree(tmp_path / "root", nanoseconds=False)
    assert len(want) > 20
    assert describe_tree(tmp_path / "out", nanoseconds=False) == want


def test_gnu_tar_unpacks_every_kind_of_entry_as_it_was(tmp_path: Path) -> None:
    need("tar")
    make_varied_tree(tmp_path / "root")
    image = make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work")
    Archive(ArchiveFormat.ROOT, str(tmp_path / "root.tar")).write(image, ())
    (tmp_path / "out").mkdir()
    argv = ["tar", "--xattrs", "--xattrs-include=*", "-xpf", f"{tmp_path}/root.tar"]
    done = subprocess.run(
        [*argv, "-C", f"{tmp_path}/out"], check=True, capture_output=True, text=True
    )
    assert "keyword" not in done.stderr  # GNU tar warns about PAX records that it does not know
    assert describe_tree(tmp_path / "out", nanoseconds=False) == describe_tree(
        tmp_path / "root", nanoseconds=False
    )


def test_members_are_in_order_and_named_as_image_tools_expect(tmp_path: Path) -> None:
    make_varied_tree(tmp_path / "root")
    image = make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work")
    with tarfile.open(image.layer.blob) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names[0] == "."
    assert len(set(names)) == len(names)
    for number, member in enumerate(members):
        above = os.path.dirname(member.name)
        assert not above or above in names[:number], member.name
        assert not member.name.startswith("/")
        assert not member.islnk() or member.linkname in names[:number]
        assert (member.uname, member.gname) == ("", "")


def test_the_layer_says_what_it_holds(tmp_path: Path) -> None:
    make_varied_tree(tmp_path / "root")
    layer = make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work").layer
    with open(layer.blob, "rb") as file:
        packed = file.read()
    plain = gzip.decompress(packed)
    assert (layer.size, layer.uncompressed) == (len(packed), len(plain))
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert packed[:10] == bytes.fromhex("1f8b0800000000000003")  # no name, no time


def test_place_time_zone_umask_and_locale_do_not_matter(tmp_path: Path) -> None:
    make_varied_tree(tmp_path / "root")
    digests = set()
    settings = [("UTC", 0o022, "C.UTF-8"), ("Asia/Tokyo", 0o077, "C"), ("EST5EDT", 0, "en_US")]
    for number, (zone, umask, locale) in enumerate(settings):
        argv = [f"{tmp_path}/root", f"{tmp_path}/work-{number}"]
        done = subprocess.run(
            [sys.executable, "-c", BUILD, *argv, REPOSITORY, SUPPORT],
            env={**os.environ, "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": str(number)},
            check=True,
            capture_output=True,
            text=True,
            umask=umask,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_the_bytes_are_those_of_every_earlier_build(tmp_path: Path) -> None:
    """If this digest changes, every user's image changes: note it in the changelog."""
    numbers = tmp_path / "numbers"
    numbers.write_text("".join(f"{number * number}\n" for number in range(100_000)))
    entries = [
        Entry("/", Kind.DIRECTORY, 0o755, 0, 0, 10**9),
        Entry("/" + "long" * 30, Kind.SYMLINK, 0o777, 0, 0, -(10**9), target="numbers"),
        dataclasses.replace(make_file_entry(numbers, "/numbers"), xattrs=(("user.x", b"\0\xff"),)),
    ]
    layer = write_layer(entries, str(tmp_path))
    assert (
        layer.diff_id == "sha256:903975bb390f6cc0734c9e890590e57ed2c14b9381f74d030b71efde348870d3"
    )
    if platform.machine() == "x86_64":
        assert (
            layer.digest
            == "sha256:cf81f2bbe3bbefd36b3d4fa23f976a194156196efafc6dce6ef7837438a8b1ed"
        )


def test_the_size_of_reads_does_not_matter(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(os.urandom(400_000))
    parts = [noise.read_bytes()[start : start + 100_000] for start in range(0, 400_000, 100_000)]
    entries = [make_file_entry(noise, "/0")]
    for number, part in enumerate(parts):
        (tmp_path / str(number)).write_bytes(part)
        entries.append(make_file_entry(tmp_path / str(number), f"/{number + 1}"))
    once = write_layer(entries, str(tmp_path))
    assert once.digest == write_layer(reversed(entries), str(tmp_path)).digest


@pytest.mark.parametrize(
    ("known_size", "message"),
    [
        (999, "cannot copy /file: it changed while it was read"),
        (1001, "cannot copy /file: it changed while it was read"),
    ],
)
def test_a_file_that_changed_is_refused(tmp_path: Path, known_size: int, message: str) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    (tmp_path / "work").mkdir()
    with pytest.raises(SlimtraceError) as caught:
        write_layer([make_file_entry(tmp_path / "file", size=known_size)], str(tmp_path / "work"))
    assert caught.value.message == message
    assert os.listdir(tmp_path / "work") == []


def test_a_file_that_is_gone_or_another_is_refused(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    for name, cause in (
        ("nothing", f"{tmp_path}/nothing is gone"),
        ("link", "Too many levels of symbolic links"),
        ("pipe", "it changed while it was read"),
    ):
        with pytest.raises(SlimtraceError) as caught:
            write_layer([make_file_entry(tmp_path / name, size=5)], str(tmp_path))
        assert caught.value.message == f"cannot copy /file: {cause}"


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("relative", "it is not a plain path"),
        ("/a/../../etc/passwd", "it is not a plain path"),
        ("/a//b", "it is not a plain path"),
        ("/a/.wh.b", "names that begin with .wh. delete files there"),
    ],
)
def test_paths_that_a_layer_cannot_hold(tmp_path: Path, path: str, cause: str) -> None:
    with pytest.raises(SlimtraceError, match=cause):
        write_layer([Entry(path, Kind.FIFO, 0o644, 0, 0, 0)], str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_an_attribute_that_a_layer_cannot_hold(tmp_path: Path) -> None:
    entry = Entry("/a", Kind.FIFO, 0o644, 0, 0, 0, xattrs=(("user.a=b", b""),))
    with pytest.raises(SlimtraceError, match="cannot put /a into a layer: its extended attribute"):
        write_layer([entry], str(tmp_path))


def test_a_full_disk_leaves_no_layer(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(900_000))
    entries = [make_file_entry(tmp_path / "noise", f"/{number}") for number in range(3)]
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(SlimtraceError, match=r"^cannot write .*: (No space left|File too)"):
            write_layer(entries, str(disk))
        assert os.listdir(disk) == []


def test_ctrl_c_leaves_no_layer(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(20 << 30)
    (tmp_path / "work").mkdir()
    with pytest.raises(KeyboardInterrupt), interrupt_after(0.3):
        write_layer([make_file_entry(tmp_path / "large")], str(tmp_path / "work"))
    assert os.listdir(tmp_path / "work") == []


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(256 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layer = write_layer([make_file_entry(tmp_path / "large")], str(tmp_path))
    assert layer.uncompressed > 256 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB
