"""Programs that gain privilege, give it up, or hide; and a tracer that has little of it."""

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
# What a container engine leaves to root: all but the right to look into other users' processes.
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory that any user may write in."""
    allow_all_users(tmp_path)
    (tmp_path / "work").mkdir()
    allow_all_users(tmp_path / "work")
    return tmp_path / "work"


def test_a_setuid_program_keeps_its_privilege(work: Path, traced: Trace, tracee: Tracee) -> None:
    need_root()
    need("setpriv")
    program = _setuid(work, tracee("print_euid"))
    run = traced([*AS_NOBODY, program, str(work)], tree={"file": ""})
    assert (run.status, run.stdout) == (0, "0\n")
    assert run.touches() == {"file": "file read", "setuid": "file exec"}
    assert run.gaps() == set()


def test_a_setuid_program_without_privilege_is_a_gap(
    work: Path, traced: Trace, tracee: Tracee, unprivileged: tuple[str, ...]
) -> None:
    need_root()
    program = _setuid(work, tracee("print_euid"))
    run = traced([program, "."], tree={"file": ""}, prefix=unprivileged)
    assert (run.status, run.stdout) == (0, f"{NOBODY}\n")
    assert run.touches() == {"file": "file read", "setuid": "file exec"}
    assert run.gaps() == {"setuid"}


def test_a_program_with_capabilities_keeps_them(work: Path, traced: Trace) -> None:
    need_root()
    need("setpriv", "setcap")
    program = _capable(work)
    run = traced([*AS_NOBODY, program, "CapEff", "/proc/self/status"])
    assert (run.status, run.stdout) == (0, "CapEff:\t0000000000002000\n")
    assert run.gaps() == set()


def test_a_program_with_capabilities_without_privilege_is_a_gap(
    work: Path, traced: Trace, unprivileged: tuple[str, ...]
) -> None:
    need_root()
    need("setcap")
    program = _capable(work)
    run = traced([program, "CapPrm", "/proc/self/status"], prefix=unprivileged)
    assert run.status == 0
    assert int(run.stdout.split()[1], 16) & 0x2000 == 0
    assert run.gaps() == {"setuid"}


def test_an_app_that_drops_its_privilege(work: Path, traced: Trace) -> None:
    """As servers that start as root do."""
    need_root()
    need("setpriv")
    run = traced([*AS_NOBODY, "cat", "file"], tree={"file": ""})
    assert run.status == 0, run.stderr
    assert run.touches() == {"file": "file read"}
    assert run.gaps() == set()
    assert os.path.basename(run.document["processes"][-1]["exe"]) == "cat"


def test_an_app_that_drops_its_privilege_where_the_tracer_has_little(
    work: Path, traced: Trace
) -> None:
    """As in a container, where root may not look into other users' processes (ptrace(2))."""
    need_root()
    need("setpriv")
    run = traced([*AS_NOBODY, "cat", "file"], tree={"file": ""}, prefix=WITHOUT_PTRACE)
    assert run.status == 0, run.stderr
    _nothing_is_lost_silently(run)


def test_a_program_that_hides(
    work: Path, traced: Trace, tracee: Tracee, unprivileged: tuple[str, ...]
) -> None:
    run = traced([tracee("undumpable"), "."], tree={"file": ""}, prefix=unprivileged)
    assert run.status == 0, run.stderr
    _nothing_is_lost_silently(run)


@pytest.mark.parametrize("name", ["secret", "secret \udcff"])
def test_a_program_that_may_be_run_but_not_read(
    name: str, work: Path, traced: Trace, tracee: Tracee, unprivileged: tuple[str, ...]
) -> None:
    need_root()
    program = work / name
    shutil.copy(tracee("print_euid"), program)
    program.chmod(0o711)
    run = traced([str(program), "."], tree={"file": ""}, prefix=unprivileged)
    assert (run.status, run.stdout) == (0, f"{NOBODY}\n")
    _nothing_is_lost_silently(run)


def _nothing_is_lost_silently(run: Traced) -> None:
    """The file is in the trace, or the trace says that there may be more."""
    if run.touches().get("file") != "file read":
        assert run.gaps() != set()
        assert run.run["complete"] is False


def _setuid(folder: Path, program: str) -> str:
    copy = folder / "setuid"
    shutil.copy(program, copy)
    os.chown(copy, 0, 0)
    copy.chmod(0o4755)
    return str(copy)


def _capable(folder: Path) -> str:
    """A grep that may open raw sockets."""
    copy = folder / "capable"
    shutil.copy(str(shutil.which("grep")), copy)
    made = subprocess.run(["setcap", "cap_net_raw=ep", copy], check=False, capture_output=True)
    if made.returncode != 0:
        skip_missing("a file system that keeps capabilities")
    return str(make_tree(str(folder), {})) + "/capable"
