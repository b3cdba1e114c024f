"""``rootfs:DIR``: all metadata is kept, and nothing is written outside DIR."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from repository import ROOT as REPOSITORY
from repository import SUPPORT
from requirements import need_root
from tree_images import (
    describe_tree,
    list_entries,
    make_file_entry,
    make_tree_image,
    make_varied_tree,
    shared_folder,
)

from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.model import Entry, Kind
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path


AS_SOMEBODY = """
import os, sys
sys.path[:0] = sys.argv[3:]
from slimtrace.builder.images.write.rootfs import RootfsDestination
from tree_images import list_entries, make_tree_image
from pathlib import Path
folder = Path(sys.argv[2])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
entries = list_entries(sys.argv[1])
tree = RootfsDestination(str(folder / "out"))
tree.prepare()
tree.write(make_tree_image(entries, folder / "work"), entries)
print("\\n".join(tree.warnings))
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_tree_holds_every_kind_of_entry_as_it_was(tmp_path: Path, *, exists: bool) -> None:
    make_varied_tree(tmp_path / "root")
    if exists:
        (tmp_path / "out").mkdir()
    entries = list_entries(tmp_path / "root")
    tree = RootfsDestination(str(tmp_path / "out"))
    tree.prepare()
    tree.write(make_tree_image(entries, tmp_path / "work"), entries)
    assert describe_tree(tmp_path / "out") == describe_tree(tmp_path / "root")
    assert tree.warnings == ()
    assert sorted(os.listdir(tmp_path)) == ["out", "root", "work"]


def test_what_a_user_cannot_keep_is_one_warning() -> None:
    need_root()  # so that the user is not the files' owner
    with shared_folder() as folder:
        root, work = folder / "root", folder / "somebody"
        (root / "etc").mkdir(parents=True)
        (root / "su").write_bytes(b"setuid\n")
        os.chmod(root / "su", stat.S_ISUID | 0o644)
        work.mkdir()
        os.chown(work, 65534, 65534)
        argv = [str(root), str(work), REPOSITORY, SUPPORT]
        done = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY, *argv], check=False, capture_output=True, text=True
        )
        assert done.stdout == (
            "the owners of 3 files were not kept, nor their setuid bits: that needs root; write "
            "the tree as root, or as a tarball (tar:FILE)\n"
        ), done.stderr
        status = os.lstat(work / "out/su")
        assert (status.st_uid, status.st_mode & 0o7777) == (65534, 0o644)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [
                Entry("/", Kind.DIRECTORY, 0o755, 0, 0, 0),
                Entry("/out", Kind.SYMLINK, 0o777, 0, 0, 0, target="/tmp"),
                Entry("/out/slimtrace-escaped", Kind.FIFO, 0o644, 0, 0, 0),
            ],
            "Not a directory",
        ),
        ([Entry("/../slimtrace-escaped", Kind.FIFO, 0o644, 0, 0, 0)], "not a plain path"),
        ([Entry("/missing/file", Kind.FIFO, 0o644, 0, 0, 0)], "No such file or directory"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_no_entry_lands_outside(
    tmp_path: Path, entries: list[Entry], message: str, *, exists: bool
) -> None:
    image = make_tree_image([], tmp_path / "work")
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    with pytest.raises(SlimtraceError, match=message):
        RootfsDestination(str(out)).write(image, entries)
    assert not os.path.lexists("/tmp/slimtrace-escaped")
    assert sorted(os.listdir(tmp_path)) == (["out", "work"] if exists else ["work"])
    assert not exists or os.listdir(out) == []


def test_a_file_that_changed_leaves_no_tree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    entries = [
        Entry("/", Kind.DIRECTORY, 0, 0, 0, 0),
        Entry("/closed", Kind.DIRECTORY, 0, 0, 0, 0),
        make_file_entry(tmp_path / "file", "/closed/file", size=11),
    ]
    with pytest.raises(SlimtraceError, match="cannot copy /closed/file: it changed"):
        RootfsDestination(str(tmp_path / "out")).write(
            make_tree_image([], tmp_path / "work"), entries
        )
    assert sorted(os.listdir(tmp_path)) == ["file", "work"]


@pytest.mark.parametrize("name", ["file", "full", "missing/out"])
def test_a_place_that_is_taken_is_refused_early(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(SlimtraceError) as caught:
        RootfsDestination(str(tmp_path / name)).prepare()
    causes = {
        "file": f"{tmp_path}/file is not a folder",
        "full": "it is not empty",
        "missing/out": f"the folder {tmp_path}/missing does not exist",
    }
    assert caught.value.message == f"cannot write {tmp_path}/{name}: {causes[name]}"
