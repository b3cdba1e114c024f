"""Files that the app creates or changes: its own are marked, old ones are saved unchanged."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from hazards import Hazard, check_hazard, parametrize_hazards

from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace, Tracee

OLD = "the old bytes\n"


@parametrize_hazards(
    Hazard(
        "files that the run makes itself",
        "creations",
        tree={"target": OLD, "sub/": "", "old": ""},
        expected={
            "written first": "created create read write",
            "temporary": "created create delete write",
            "target.new": "created create delete write",
            "target": "file read write",
            "fresh.new": "created create delete write",
            "fresh": "created create read",
            "sub": "file write",
            "linked": "created create read",
            "stage": "created create delete",
            "stage/file": "created create write",
            "final": "created create",
            "final/file": "created read",
            "alias": "created create",
            "alias/file": "created read",
            "old": "file stat",
            "second name": "created create read",
            "later": "created create stat write",
        },
    ),
    Hazard(
        "missing names that exist later",
        "appears",
        tree={"sub/inside": OLD, "tree/inside": OLD, "alias": "-> sub"},
        expected={
            "by-child": "created create read stat write",
            "sub": "file stat",
            "sub/by-dots": "created read stat",
            "sub/../sub/by-dots": "created create write",
            "sub/by-symlink": "created read stat",
            "alias/by-symlink": "created create write",
            "by-magic": "created read stat write",
            "sub/../by-descriptor": "created create write",
            "by-descriptor": "created read stat",
            "tree": "file delete",
            "tree/inside": "file read",
            "moved": "created create",
            "moved/inside": "created read stat",
            "link": "created create",
            "link/inside": "created read stat",
            "hard": "created create read stat",
            "sub/inside": "file create delete read stat write",
        },
    ),
    Hazard(
        "one call for each file",
        "uses",
        tree={
            **dict.fromkeys(("open-read", "open-write", "open-both", "open-path"), ""),
            **dict.fromkeys(("open-create-old", "open-exclusive", "openat2", "open"), ""),
            **dict.fromkeys(("newfstatat", "statx", "faccessat", "faccessat2", "statfs"), ""),
            **dict.fromkeys(("getxattr", "lgetxattr", "listxattr", "inotify"), ""),
            **dict.fromkeys(("setxattr", "fchmodat", "fchownat", "utimensat"), ""),
            **dict.fromkeys(("fchmod", "futimens", "creat", "stat", "lstat", "access"), ""),
            **dict.fromkeys(("chmod", "chown", "lchown", "utime", "utimes", "futimesat"), ""),
            **dict.fromkeys(("link-from", "linkat-from", "unlink", "unlinkat", "truncate"), ""),
            **dict.fromkeys(("rename-from", "renameat-from", "renameat2-from"), ""),
            **dict.fromkeys(
                ("readlink-of-file", "connect-nobody", "sendto-nobody", "renameat2-to"), ""
            ),
            **dict.fromkeys(("open-directory/", "rmdir/", "unlinkat-dir/", "mkdirat-old/"), ""),
            "chdir/": "",
            "readlink": "-> target",
            "readlinkat": "-> target",
        },
        expected={
            **dict.fromkeys(("open-read", "open", "openat2"), "file read"),
            **dict.fromkeys(("open-write", "open-create-old", "creat"), "file write"),
            "open-both": "file read write",
            "open-create-new": "created create write",
            "open-directory": "file list",
            **dict.fromkeys(("open-path", "open-exclusive", "mkdirat-old"), "file stat"),
            **dict.fromkeys(("newfstatat", "statx", "faccessat", "faccessat2"), "file stat"),
            **dict.fromkeys(("statfs", "stat", "lstat", "access", "inotify"), "file stat"),
            **dict.fromkeys(("getxattr", "lgetxattr", "listxattr"), "file stat"),
            **dict.fromkeys(("readlink", "readlinkat", "readlink-of-file"), "file readlink"),
            **dict.fromkeys(("setxattr", "fchmodat", "fchownat", "utimensat"), "file attr"),
            **dict.fromkeys(("chmod", "chown", "lchown", "utime", "utimes"), "file attr"),
            "futimesat": "file attr",
            **dict.fromkeys(("fchmod", "futimens"), "file attr read"),
            "truncate": "file write",
            **dict.fromkeys(("mkdir", "mkdirat", "mknod", "mknodat"), "created create"),
            **dict.fromkeys(("symlink", "symlinkat"), "created create"),
            **dict.fromkeys(("link-from", "linkat-from"), "file stat"),
            **dict.fromkeys(("link-to", "linkat-to"), "created create"),
            **dict.fromkeys(("unlink", "unlinkat", "rmdir", "unlinkat-dir"), "file delete"),
            **dict.fromkeys(("rename-from", "renameat-from", "renameat2-from"), "file delete"),
            **dict.fromkeys(("rename-to", "renameat-to"), "created create"),
            "renameat2-to": "file write",
            "bind": "created connect create",
            "connect-nobody": "file connect",
            "sendto-nobody": "file connect",
            "chdir": "file chdir",
            "chdir/..": "file stat",
        },
    ),
)
def test_uses(hazard: Hazard, traced: Trace, tracee: Tracee) -> None:
    check_hazard(hazard, traced, tracee)


@pytest.mark.parametrize(
    ("change", "uses"),
    [
        ("open-truncate", "file read write"),
        ("read-truncate", "file read write"),
        ("creat", "file read write"),
        ("overwrite", "file read write"),
        ("append", "file read write"),
        ("open-or-create", "file read write"),
        ("truncate", "file read write"),
        ("map", "file read write"),
        ("reopen", "file read write"),
        ("delete", "file delete read"),
        ("rename-away", "file delete read"),
        ("rename-over", "file read write"),
        ("exchange", "file read write"),
        ("through-symlink", "file read"),
    ],
)
def test_a_file_read_then_changed_is_saved(
    traced: Trace, tracee: Tracee, change: str, uses: str
) -> None:
    run = traced(
        [tracee("changes"), ".", change],
        tree={"file": OLD, "symlink": "-> file", "sub/inside": OLD},
    )
    assert (run.status, run.stderr) == (0, "")
    top = run.directory + "/"
    saved = {path.removeprefix(top): data for path, data in _read_saved(run.trace).items()}
    assert saved.get("file") == OLD
    assert set(saved) <= {"file", "symlink"}
    recorded = run.touches()["file"].split()
    assert set(uses.split()) == set(recorded)


def test_a_file_changed_through_a_hard_link_is_saved(
    tmp_path: Path, traced: Trace, tracee: Tracee
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/file").write_text(OLD)
    os.link(tmp_path / "work/file", tmp_path / "work/hard-link")
    run = traced([tracee("changes"), ".", "through-hard-link"])
    assert (run.status, run.stderr) == (0, "")
    assert _read_saved(run.trace)[f"{run.directory}/hard-link"] == OLD
    assert _read_saved(run.trace)[f"{run.directory}/file"] == OLD, "it was read under this name"


def test_a_file_in_a_moved_directory_is_saved(traced: Trace, tracee: Tracee) -> None:
    run = traced(
        [tracee("changes"), ".", "rename-directory"],
        tree={"file": "", "sub/inside": OLD, "sub/deeper/more": OLD},
    )
    assert (run.status, run.stderr) == (0, "")
    saved = _read_saved(run.trace)
    assert saved[f"{run.directory}/sub/inside"] == OLD
    assert saved[f"{run.directory}/sub/deeper/more"] == OLD
    assert run.touches()["moved"].startswith("created ")
    assert run.touches()["moved/inside"].startswith("created ")


def test_a_directory_that_cannot_be_deleted_is_not_saved(traced: Trace) -> None:
    """Installers call rmdir for shared directories too. A later move saves all its files."""
    rmdir = "rmdir full; mkdir empty; mv -T empty full; :"
    run = traced(["sh", "-c", rmdir], tree={"full/file": OLD})
    assert run.status == 0
    assert f"{run.directory}/full/file" not in _read_saved(run.trace)
    run = traced(["sh", "-c", f"{rmdir}; mv full moved"], "--force")
    assert run.status == 0
    assert _read_saved(run.trace)[f"{run.directory}/full/file"] == OLD


def test_a_file_that_is_only_read_is_not_saved(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("changes"), ".", "nothing"], tree={"file": OLD})
    assert run.status == 0
    assert _read_saved(run.trace) == {}
    assert not os.path.exists(run.trace + ".d")


def test_a_file_changed_twice_is_saved_in_its_first_state(traced: Trace) -> None:
    script = "cat file; echo second >file; cat file; echo third >file; rm file; echo 4 >file"
    run = traced(["sh", "-c", script], tree={"file": OLD})
    assert (run.status, run.stdout) == (0, f"{OLD}second\n")
    assert _read_saved(run.trace) == {f"{run.directory}/file": OLD}


def test_a_saved_file_keeps_its_mode_size_and_mtime(tmp_path: Path, traced: Trace) -> None:
    (tmp_path / "work").mkdir()
    file = tmp_path / "work/file"
    file.write_text(OLD)
    file.chmod(0o640)
    os.utime(file, ns=(1_000_000_007, 2_000_000_009))
    run = traced(["sh", "-c", "cat file; echo changed >file; chmod 600 file"])
    assert run.status == 0
    saved = read_trace(run.trace).saved[str(file)].fingerprint
    assert (stat.S_IMODE(saved.mode), saved.size) == (0o640, len(OLD))
    assert saved.mtime_ns == 2_000_000_009
    assert stat.S_ISREG(saved.mode)


def test_files_that_an_earlier_run_saved_stay(traced: Trace) -> None:
    change = ["sh", "-c", "cat file; echo $0 >file"]
    traced([*change, "first"], tree={"file": OLD})
    run = traced([*change, "second"], "--append")
    assert run.status == 0
    assert _read_saved(run.trace) == {f"{run.directory}/file": OLD}


def _read_saved(trace: str) -> dict[str, str]:
    """Map the paths of saved files to the saved bytes."""
    blobs = {}
    for path, saved in read_trace(trace).saved.items():
        with open(saved.blob) as file:
            blobs[path] = file.read()
    return blobs
