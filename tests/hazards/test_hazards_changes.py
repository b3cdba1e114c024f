"""What the app does to files: its own are left out, old ones are put aside as they were."""

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
        "names looked for in vain, then there",
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
        "one call on one file each",
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
def test_a_file_read_then_changed_is_put_aside(
    traced: Trace, tracee: Tracee, change: str, uses: str
) -> None:
    run = traced(
        [tracee("changes"), ".", change],
        tree={"file": OLD, "symlink": "-> file", "sub/inside": OLD},
    )
    assert (run.status, run.stderr) == (0, "")
    own = {path.removeprefix(run.directory + "/"): kept for path, kept in _saved(run.trace).items()}
    assert own.get("file") == OLD
    assert set(own) <= {"file", "symlink"}
    seen = run.touches()["file"].split()
    assert set(uses.split()) == set(seen)


def test_a_file_changed_through_another_of_its_names_is_put_aside(
    tmp_path: Path, traced: Trace, tracee: Tracee
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/file").write_text(OLD)
    os.link(tmp_path / "work/file", tmp_path / "work/hard-link")
    run = traced([tracee("changes"), ".", "through-hard-link"])
    assert (run.status, run.stderr) == (0, "")
    assert _saved(run.trace)[f"{run.directory}/hard-link"] == OLD
    assert _saved(run.trace)[f"{run.directory}/file"] == OLD, "it was read under this name"


def test_a_file_in_a_directory_moved_away_is_put_aside(traced: Trace, tracee: Tracee) -> None:
    run = traced(
        [tracee("changes"), ".", "rename-directory"],
        tree={"file": "", "sub/inside": OLD, "sub/deeper/more": OLD},
    )
    assert (run.status, run.stderr) == (0, "")
    saved = _saved(run.trace)
    assert saved[f"{run.directory}/sub/inside"] == OLD
    assert saved[f"{run.directory}/sub/deeper/more"] == OLD
    assert run.touches()["moved"].startswith("created ")
    assert run.touches()["moved/inside"].startswith("created ")


def test_a_directory_that_cannot_be_deleted_is_not_copied(traced: Trace) -> None:
    """As installers try: rmdir of what others still use. Moved later, it is put aside whole."""
    rmdir = "rmdir full; mkdir empty; mv -T empty full; :"
    run = traced(["sh", "-c", rmdir], tree={"full/file": OLD})
    assert run.status == 0
    assert f"{run.directory}/full/file" not in _saved(run.trace)
    run = traced(["sh", "-c", f"{rmdir}; mv full moved"], "--force")
    assert run.status == 0
    assert _saved(run.trace)[f"{run.directory}/full/file"] == OLD


def test_a_file_only_read_is_not_put_aside(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("changes"), ".", "nothing"], tree={"file": OLD})
    assert run.status == 0
    assert _saved(run.trace) == {}
    assert not os.path.exists(run.trace + ".d")


def test_a_file_changed_twice_is_kept_as_it_was_first(traced: Trace) -> None:
    script = "cat file; echo second >file; cat file; echo third >file; rm file; echo 4 >file"
    run = traced(["sh", "-c", script], tree={"file": OLD})
    assert (run.status, run.stdout) == (0, f"{OLD}second\n")
    assert _saved(run.trace) == {f"{run.directory}/file": OLD}


def test_a_kept_file_keeps_what_stat_said(tmp_path: Path, traced: Trace) -> None:
    (tmp_path / "work").mkdir()
    file = tmp_path / "work/file"
    file.write_text(OLD)
    file.chmod(0o640)
    os.utime(file, ns=(1_000_000_007, 2_000_000_009))
    run = traced(["sh", "-c", "cat file; echo changed >file; chmod 600 file"])
    assert run.status == 0
    kept = read_trace(run.trace).saved[str(file)].fingerprint
    assert (stat.S_IMODE(kept.mode), kept.size, kept.mtime_ns) == (0o640, len(OLD), 2_000_000_009)
    assert stat.S_ISREG(kept.mode)


def test_what_another_run_in_the_trace_put_aside_stays(traced: Trace) -> None:
    change = ["sh", "-c", "cat file; echo $0 >file"]
    traced([*change, "first"], tree={"file": OLD})
    run = traced([*change, "second"], "--append")
    assert run.status == 0
    assert _saved(run.trace) == {f"{run.directory}/file": OLD}


def _saved(trace: str) -> dict[str, str]:
    """The files put aside: their own paths to the bytes kept."""
    kept = {}
    for path, saved in read_trace(trace).saved.items():
        with open(saved.blob) as file:
            kept[path] = file.read()
    return kept
