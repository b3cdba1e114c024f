"""Programs that gain or drop privileges or are not dumpable; a tracer with few privileges."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from requirements import need, need_root, skip_missing
from traces import allow_all_users, make_tree

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace, Tracee
    from traces import Traced

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# The privileges of root in a container: all except CAP_SYS_PTRACE.
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Make a directory in which all users can write."""
    allow_all_users(tmp_path)
    (tmp_path / "work").mkdir()
    allow_all_users(tmp_path / "work")
    return tmp_path / "work"


def test_a_setuid_program_keeps_its_privilege(work: Path, traced: Trace, tracee: Tracee) -> None:
    need_root()
    need("setpriv")
    program = _make_setuid_copy(work, tracee("print_euid"))
    run = traced([*AS_NOBODY, program, str(work)], tree={"file": ""})
    assert (run.status, run.stdout) == (0, "0\n")
    assert run.touches() == {"file": "file read", "setuid": "file exec"}
    assert run.gaps() == set()


def test_a_setuid_program_without_privilege_is_a_gap(
    work: Path, traced: Trace, tracee: Tracee, unprivileged: tuple[str, ...]
) -> None:
    need_root()
    program = _make_setuid_copy(work, tracee("print_euid"))
    run = traced([program, "."], tree={"file": ""}, prefix=unprivileged)
    assert (run.status, run.stdout) == (0, f"{NOBODY}\n")
    assert run.touches() == {"file": "file read", "setuid": "file exec"}
    assert run.gaps() == {"setuid"}


def test_a_program_with_capabilities_keeps_them(work: Path, traced: Trace) -> None:
    need_root()
    need("setpriv", "setcap")
    program = _make_capable_copy(work)
    run = traced([*AS_NOBODY, program, "CapEff", "/proc/self/status"])
    assert (run.status, run.stdout) == (0, "CapEff:\t0000000000002000\n")
    assert run.gaps() == set()


def test_a_program_with_capabilities_without_privilege_is_a_gap(
    work: Path, traced: Trace, unprivileged: tuple[str, ...]
) -> None:
    need_root()
    need("setcap")
    program = _make_capable_copy(work)
    run = traced([program, "CapPrm", "/proc/self/status"], prefix=unprivileged)
    assert run.status == 0
    assert int(run.stdout.split()[1], 16) & 0x2000 == 0
    assert run.gaps() == {"setuid"}


def test_an_app_that_drops_its_privilege(work: Path, traced: Trace) -> None:
    """Servers that start as root do this."""
    need_root()
    need("setpriv")
    run = traced([*AS_NOBODY, "cat", "file"], tree={"file": ""})
    assert run.status == 0, run.stderr
    assert run.touches() == {"file": "file read"}
    assert run.gaps() == set()
    assert os.path.basename(run.document["processes"][-1]["exe"]) == "cat"


def test_a_call_that_is_refused_changes_nothing(work: Path, traced: Trace) -> None:
    """The app goes on without: nothing of it may look like a change."""
    need_root()
    need("setpriv", "perl")
    script = """
        chmod 0600, 'sub/mode'; chown 1, 1, 'sub/owner'; utime 1, 1, 'sub/times';
        rename 'sub/old', 'sub/new'; rename 'sub/old', 'moved'; unlink 'sub/gone';
        open my $made, '>', 'sub/made'; open my $changed, '>>', 'sub/changed';
        truncate 'sub/short', 0; link 'sub/one', 'sub/two'; symlink 'x', 'sub/link';
        mkdir 'sub/folder'; rmdir 'sub/full'; open my $secret, '<', 'sub/secret';
        chmod 0600, 'own'; unlink 'own';
    """
    names = ("mode", "owner", "times", "old", "gone", "changed", "short", "one", "full/x", "secret")
    tree = dict.fromkeys((f"sub/{name}" for name in names), "old")
    make_tree(str(work), tree)
    (work / "sub/secret").chmod(0o600)
    os.chmod(work / "sub", 0o755)  # noqa: S103 -- all may look
    (work / "own").touch()
    os.chown(work / "own", NOBODY, NOBODY)
    run = traced([*AS_NOBODY, "perl", "-e", script])
    assert (run.status, run.stderr) == (0, "")
    looked = ("mode", "owner", "times", "old", "gone", "changed", "short", "one", "full", "secret")
    assert run.touches() == {
        **{f"sub/{name}": "file stat" for name in looked},
        **{f"sub/{name}": "missing create" for name in ("two", "link", "folder")},
        "sub/made": "missing create write",
        "sub/new": "missing stat",
        "moved": "missing stat",
        "own": "file attr delete stat",
    }


def test_an_app_that_drops_its_privilege_under_a_tracer_without_ptrace(
    work: Path, traced: Trace
) -> None:
    """In a container, root cannot read other users' processes (ptrace(2))."""
    need_root()
    need("setpriv")
    run = traced([*AS_NOBODY, "cat", "file"], tree={"file": ""}, prefix=WITHOUT_PTRACE)
    assert run.status == 0, run.stderr
    _check_recorded_or_gap(run)


def test_a_program_that_is_not_dumpable(
    work: Path, traced: Trace, tracee: Tracee, unprivileged: tuple[str, ...]
) -> None:
    run = traced([tracee("undumpable"), "."], tree={"file": ""}, prefix=unprivileged)
    assert run.status == 0, run.stderr
    _check_recorded_or_gap(run)


@pytest.mark.parametrize("name", ["secret", "secret \udcff"])
def test_a_program_that_can_be_run_but_not_read(
    name: str, work: Path, traced: Trace, tracee: Tracee, unprivileged: tuple[str, ...]
) -> None:
    need_root()
    program = work / name
    shutil.copy(tracee("print_euid"), program)
    program.chmod(0o711)
    run = traced([str(program), "."], tree={"file": ""}, prefix=unprivileged)
    assert (run.status, run.stdout) == (0, f"{NOBODY}\n")
    _check_recorded_or_gap(run)


def _check_recorded_or_gap(run: Traced) -> None:
    """Check that the file is in the trace, or that the trace has a gap and is incomplete."""
    if run.touches().get("file") != "file read":
        assert run.gaps() != set()
        assert run.run["complete"] is False


def _make_setuid_copy(folder: Path, program: str) -> str:
    copy = folder / "setuid"
    shutil.copy(program, copy)
    os.chown(copy, 0, 0)
    copy.chmod(0o4755)
    return str(copy)


def _make_capable_copy(folder: Path) -> str:
    """Make a copy of grep that has cap_net_raw."""
    copy = folder / "capable"
    shutil.copy(str(shutil.which("grep")), copy)
    done = subprocess.run(["setcap", "cap_net_raw=ep", copy], check=False, capture_output=True)
    if done.returncode != 0:
        skip_missing("a file system that keeps capabilities")
    return str(make_tree(str(folder), {})) + "/capable"
