"""The paths that programs pass to calls, and the paths in the trace."""

from __future__ import annotations

import os
import platform
import shutil
from typing import TYPE_CHECKING

from hazards import Hazard, check_hazard, parametrize_hazards, skip_if_unsupported
from traces import make_tree

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace, Tracee

LONGEST_NAME = "x" * 255


@parametrize_hazards(
    Hazard(
        "the cwd is moved by a child that shares it",
        "clone_fs_chdir",
        tree={"file": "1", "sub/file": "2"},
        expected={"file": "file read", "sub": "file chdir", "sub/file": "file read"},
    ),
    Hazard(
        "the caller's cwd is renamed and deleted",
        "cwd_deleted",
        tree={"back": ""},
        expected={
            "old": "created chdir create",
            "old/file": "created create write",
            "old/../old": "created delete",
            "old/../renamed": "created create",
            "renamed/file": "created delete read",
            "renamed": "created delete",
            "back": "file read",
        },
    ),
    Hazard(
        "a directory's descriptor is used, sent, inherited and copied with pidfd_getfd",
        "dirfd",
        tree={"sub/own": "", "sub/sent": "", "sub/inherited": "", "sub/taken": ""},
        expected={
            "sub": "file list",
            "sub/own": "file read",
            "sub/sent": "file read",
            "sub/inherited": "file read",
            "sub/taken": "file read",
        },
    ),
    Hazard(
        "pointers and strings at the limits that the kernel accepts",
        "odd_paths",
        tree={
            **dict.fromkeys(("edge", "crossing", "long", "longest", "folded", "dots"), ""),
            **dict.fromkeys((LONGEST_NAME, "new\nline", 'quote"back\\slash'), ""),
            "not utf-8 \udcff\udcfe": "",
            "sub/": "",
        },
        expected={
            "edge": "file read",
            "crossing": "file read",
            "long": "file read",
            "longest": "file read",
            "folded": "file read",
            "sub/../dots": "file read",
            "sub": "file list",
            LONGEST_NAME: "file read",
            LONGEST_NAME + "x": "missing read",
            "new\nline": "file read",
            'quote"back\\slash': "file read",
            "not utf-8 \udcff\udcfe": "file read",
        },
    ),
    Hazard(
        "openat2 with RESOLVE_IN_ROOT",
        "openat2_in_root",
        tree={
            "jail/etc/conf": "",
            "jail/etc/beneath": "",
            "jail/etc/target": "",
            "jail/up": "",
            "jail/link": "-> /etc/target",
            "plain": "",
        },
        expected={
            "jail": "file stat",
            "jail/etc/conf": "file read",
            "jail/up": "file read",
            "jail/etc/target": "file read",
            "jail/etc/beneath": "file read",
            "jail/etc/nope": "missing read",
            "plain": "file read",
        },
    ),
    Hazard(
        "names that are prefixes of others, and lookups that fail",
        "names",
        tree={
            **dict.fromkeys(("python3", "python3.11", "libx.so", "libx.so.1"), ""),
            **dict.fromkeys(("lib/x", "lib-x"), ""),
            "dangling": "-> target",
            "through": "-> lib",
            "loop": "-> loop",
        },
        expected={
            "python3": "file read",
            "python3.11": "file read",
            "libx.so": "file read",
            "libx.so.1": "file read",
            "lib/x": "file read",
            "lib-x": "file read",
            "through/x": "file read",
            "through": "file read",
            "dangling": "file read readlink",
            "nothing": "missing read",
            "no-directory/nothing": "missing read",
            "python3/nothing": "missing read",
            "loop": "missing read",
        },
    ),
)
def test_paths(hazard: Hazard, traced: Trace, tracee: Tracee) -> None:
    check_hazard(hazard, traced, tracee)


def test_rare_calls(tmp_path: Path, traced: Trace, tracee: Tracee) -> None:
    """Nearly all fail for an ordinary user, but the kernel looked up the file.

    The user may not write to the files, so acct and swapon are no writes. It owns those of which
    attributes are changed.
    """
    read = dict.fromkeys(("uselib",), "file read") if platform.machine() == "x86_64" else {}
    expected = {
        **read,
        **dict.fromkeys(("acct", "swapon", "swapoff"), "file stat"),
        **dict.fromkeys(("quotactl", "fanotify_mark", "name_to_handle_at", "statfs"), "file stat"),
        **dict.fromkeys(("llistxattr", "getxattrat", "listxattrat", "file_getattr"), "file stat"),
        **dict.fromkeys(("open_tree", "open_tree_attr"), "file stat"),
        **dict.fromkeys(("lsetxattr", "removexattr", "lremovexattr", "fchmodat2"), "file attr"),
        **dict.fromkeys(("setxattrat", "removexattrat", "file_setattr"), "file attr"),
    }
    make_tree(str(tmp_path / "work"), dict.fromkeys(expected, ""))
    for name in (name for name, uses in expected.items() if uses == "file attr"):
        os.chown(tmp_path / "work" / name, *((65534, 65534) if os.geteuid() == 0 else (-1, -1)))
    run = traced([tracee("rare_calls"), ".", "files"])
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == expected
    assert run.gaps() == set()


def test_calls_that_change_what_is_mounted(traced: Trace, tracee: Tracee) -> None:
    looked = ("pivot_root-new", "pivot_root-old", "mount", "umount2", "move_mount-from")
    expected = {
        "chroot": "file chdir",
        **dict.fromkeys((*looked, "move_mount-to", "mount_setattr", "fspick"), "file stat"),
    }
    tree = dict.fromkeys([f"{name}/" for name in expected], "")
    run = traced([tracee("rare_calls"), ".", "mounts"], tree=tree)
    assert run.status == 0
    assert run.touches() == expected
    assert run.gaps() == {"foreign-root"}


def test_a_name_that_the_caller_may_not_read(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("hidden_name"), "."], tree={"file": "", "hidden": ""})
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == {"file": "file read"}


def test_a_path_too_long_for_a_lookup_is_a_gap(traced: Trace, tracee: Tracee) -> None:
    """Relative names whose absolute path exceeds PATH_MAX: each is a gap, never a missing file."""
    run = traced([tracee("deep"), "."])
    assert run.status == 0, run.stderr
    assert run.gaps() == {"unknown-directory"}
    assert max(len(path) for path in run.paths()) < 4096


def test_a_bad_pointer_records_no_path(traced: Trace, tracee: Tracee) -> None:
    names = ("edge", "crossing", "long", "longest", "folded", "dots", LONGEST_NAME)
    others = ("new\nline", 'quote"back\\slash', "not utf-8 \udcff\udcfe")
    run = traced([tracee("odd_paths"), "."], tree={**dict.fromkeys(names + others, ""), "sub/": ""})
    for path in run.paths():
        assert path.startswith("/")
        assert "on no directory" not in path
        assert not path.endswith("/open"), "a string without a NUL was read as a path"


def test_names_that_end_with_deleted(traced: Trace) -> None:
    """/proc appends " (deleted)" to a deleted file's path, but a real name can end so too."""
    run = traced(
        ["sh", "-c", "cd 'sub (deleted)'; cat file; cat '../file (deleted)'"],
        tree={"sub (deleted)/file": "1\n", "file (deleted)": "2\n"},
    )
    assert (run.status, run.stdout) == (0, "1\n2\n")
    assert run.touches() == {
        "sub (deleted)": "file chdir",
        "sub (deleted)/file": "file read",
        "sub (deleted)/../file (deleted)": "file read",
    }


def test_a_deleted_name_of_a_file_with_a_hard_link(tmp_path: Path, traced: Trace) -> None:
    make_tree(str(tmp_path / "work"), {"name": "1\n"})
    os.link(tmp_path / "work/name", tmp_path / "work/other")
    run = traced(["sh", "-c", "exec 3<name; rm name; cat /proc/self/fd/3"])
    assert (run.status, run.stdout) == (0, "1\n")
    assert not [path for path in run.paths() if path.endswith(" (deleted)")]


def test_a_path_that_is_not_utf8_is_recorded_as_bytes(traced: Trace) -> None:
    run = traced(["cat", "a\udcffb"], tree={"a\udcffb": "content"})
    (entry,) = [entry for entry in run.document["files"] if "path_b64" in entry]
    assert "path" not in entry
    assert run.touches()["a\udcffb"] == "file read"
    assert run.stdout == "content"


def test_an_empty_path_means_the_descriptor(traced: Trace, tracee: Tracee) -> None:
    tree = dict.fromkeys(("opened", "handle", "owned"), "")
    run = traced([tracee("empty_path"), "."], tree=tree)
    assert run.status == 0, run.stderr
    assert run.touches() == {
        "opened": "file read",
        "handle": "file stat",
        "owned": "file attr read",
    }
    assert not [path for path in run.paths() if "pipe:" in path]


def test_paths_in_a_chroot_are_the_paths_outside(traced: Trace, tracee: Tracee) -> None:
    tree = {
        "jail/etc/conf": "",
        "jail/etc/target": "",
        "jail/absolute-link": "-> /etc/target",
        "relative": "",
        "outside/file": "",
    }
    hazard = Hazard(
        "",
        "chroot_open",
        tree=tree,
        expected={
            "outside": "file stat",
            "jail": "file chdir",
            "relative": "file read",
            "jail/etc/conf": "file read",
            "jail/etc/target": "file read",
            "jail/nope": "missing read",
            "jail/made": "created create write",
            "outside/file": "file read",
        },
    )
    run = check_hazard(hazard, traced, tracee)
    assert not {"/etc/conf", "/etc/target", "/nope", "/made"} & run.paths()


def test_a_mount_that_only_the_app_sees_is_a_gap(traced: Trace, tracee: Tracee) -> None:
    hazard = Hazard(
        "",
        "mount_namespace",
        tree={"source/file": "", "target/": "", "plain": ""},
        expected={"target": "file stat", "plain": "file read"},
        gaps=frozenset({"foreign-root"}),
    )
    run = check_hazard(hazard, traced, tracee)
    assert run.run["complete"] is False


def test_paths_in_a_new_root_are_correct_or_a_gap(traced: Trace, tracee: Tracee) -> None:
    """pivot_root in a mount namespace: the app's /etc/conf is not the machine's."""
    run = traced([tracee("pivot_root"), "."], tree={"jail/etc/conf": "", "jail/old/": ""})
    skip_if_unsupported(run)
    assert run.status == 0, run.stderr
    assert not {"/etc/conf", "/etc/nope"} & run.paths("file", "created")
    assert "jail/etc/conf" in run.touches() or run.gaps() == {"foreign-root"}


def test_a_file_opened_by_handle_is_a_gap(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("by_handle"), "."], tree={"file": ""})
    skip_if_unsupported(run)
    assert run.status == 0, run.stderr
    assert run.touches() == {"file": "file stat"}
    assert run.gaps() == {"by-handle"}
    assert run.run["complete"] is False


def test_magic_links_lead_to_their_file(tmp_path: Path, traced: Trace, tracee: Tracee) -> None:
    program = tracee("proc_self")
    by_descriptor = dict.fromkeys(("by-fd", "by-dev-fd", "by-thread", "by-pid"), "")
    by_directory = dict.fromkeys(("by-cwd", "by-root"), "")
    run = traced([program, str(tmp_path / "work")], tree={**by_descriptor, **by_directory})
    assert run.status == 0, run.stderr
    assert run.touches() == {
        **dict.fromkeys(by_descriptor, "file read stat"),
        **dict.fromkeys(by_directory, "file read"),
    }
    uses = {path: set(entry["uses"]) for _, path, entry in run.entries()}
    assert uses[program] >= {"exec", "read"}, "/proc/self/exe is the app, not the tracer"
    assert not [path for path in run.paths() if "python" in path]


def test_a_program_run_by_a_symlink(tmp_path: Path, traced: Trace, tracee: Tracee) -> None:
    make_tree(str(tmp_path / "work"), {"link": "-> real"})
    shutil.copy(tracee("vfork_exec"), tmp_path / "work" / "real")
    run = traced(["./link", "."], tree={"child": "", "parent": ""})
    assert run.status == 0, run.stderr
    assert [image["exe"] for image in run.document["processes"]] == [f"{run.directory}/real"] * 2
    assert run.document["processes"][0]["argv"] == ["./link", "."]
    assert run.touches() == {
        "link": "file exec",
        "real": "file exec",
        "child": "file read",
        "parent": "file read",
    }


def test_execs_through_descriptors(tmp_path: Path, traced: Trace, tracee: Tracee) -> None:
    program = tracee("execveat_fd")
    work = make_tree(str(tmp_path / "work"), {"sub/": ""})
    for name in ("copy", "sub/copy"):
        shutil.copy(program, os.path.join(work, name))
    run = traced([program, "."], tree={"through the descriptor": "", "through the name": ""})
    assert run.status == 0, run.stderr
    assert [(image["exe"], image["argv"][2:]) for image in run.document["processes"]] == [
        (program, []),
        (f"{work}/copy", ["by-name"]),
        (f"{work}/sub/copy", ["end"]),
    ]
    assert run.touches() == {
        "copy": "file exec stat",
        "sub": "file stat",
        "sub/copy": "file exec",
        "sub/../sub/copy": "file exec",
        "through the descriptor": "file read",
        "through the name": "file read",
    }
