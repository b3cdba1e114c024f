"""What is predicted of a call is what the kernel then does, for root and for another user."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import sys
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from tree_images import shared_folder

from slimtrace.tracer.decode.call import StoppedCall
from slimtrace.tracer.decode.refusals import Refusals
from slimtrace.tracer.process.file_permissions import Permissions
from slimtrace.tracer.process.root_view import HOST_VIEW
from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.trace.trace import PathState, State, Use

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534
CALLS = {call.name: call for call in abi.select_calls(platform.machine()).values()}
# call, as Python makes it of the path, use
CHANGES = [
    ("unlinkat", "os.unlink(path)", Use.DELETE),
    ("fchmodat", "os.chmod(path, 0o600)", Use.ATTR),
    ("fchownat", "os.chown(path, os.stat(path).st_uid, -1)", Use.ATTR),
    ("utimensat", "os.utime(path)", Use.ATTR),
    ("setxattr", "os.setxattr(path, 'user.note', b'')", Use.ATTR),
    ("truncate", "os.truncate(path, 0)", Use.WRITE),
]
MODES = [(0, 0o755), (0, 0o777), (0, 0o1777), (NOBODY, 0o755), (NOBODY, 0o1777), (0, 0o776)]
FILES = [(0, 0o644), (0, 0o666), (0, 0o600), (NOBODY, 0o600), (NOBODY, 0o400), (0, 0o640)]
CHILD = """
import os, sys
if os.geteuid() == 0 and (user := int(sys.argv[1])):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
print("ready", flush=True)
for line in sys.stdin:
    path, other, code = line.rstrip().split("\\t")
    number = 0
    try:
        exec(code)
    except OSError as error:
        number = error.errno
    print(number, flush=True)
"""


class Caller:
    """A process of a user, which makes calls."""

    def __init__(self, user: int) -> None:
        argv = [sys.executable, "-c", CHILD, str(user)]
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.tid = self._child.pid
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def call(self, code: str, path: Path, other: Path) -> int:
        """Make a call; return its error."""
        assert self._child.stdin is not None
        print(path, other, code, sep="\t", file=self._child.stdin, flush=True)
        return int(self._read())

    def close(self) -> None:
        self._child.communicate(timeout=60)


@pytest.fixture(scope="module", params=[0, NOBODY] if os.geteuid() == 0 else [os.geteuid()])
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    caller = Caller(request.param)
    yield caller
    caller.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as folder:
        yield folder


def make_place(path: Path, owner: int, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner, owner)
    path.chmod(mode)


def make_tree(folder: Path, above: tuple[int, int], file: tuple[int, int], name: str) -> Path:
    """Make a new folder and a file in it."""
    directory = folder / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "file").write_text("old")
    make_place(directory / "file", *file)
    make_place(directory, *above)
    return directory / "file"


def look_up(path: Path) -> PathState:
    status = os.lstat(path) if os.path.lexists(path) else None
    state = State.MISSING if status is None else State.FILE
    return PathState(os.fsencode(path), state, status)


def refusals(caller: Caller) -> tuple[Refusals, Permissions]:
    permissions = Permissions(HOST_VIEW)
    permissions.own_credentials = True
    return Refusals(permissions), permissions


@pytest.mark.parametrize(("name", "code", "use"), CHANGES, ids=[row[0] for row in CHANGES])
def test_the_kernel_refuses_the_same_changes(
    caller: Caller, folder: Path, name: str, code: str, use: Use
) -> None:
    known, _ = refusals(caller)
    results = set()
    for above, file in product(MODES, FILES):
        path = make_tree(folder, above, file, "a")
        place = PathState(os.fsencode(path), State.FILE, os.stat(path))
        stop = StoppedCall(caller.tid, 1, CALLS[name], [0] * 6)
        predicted = known.refuses_change(stop, use, place)
        error = caller.call(code, path, path)
        if error == errno.EOPNOTSUPP:
            pytest.skip("this file system has no extended attributes of users")
        # A folder that the caller may not search hides the file: no call names it there.
        if error == errno.EACCES and above == (0, 0o776) and use is not Use.DELETE:
            continue
        assert predicted == bool(error), (above, file, os.strerror(error))
        results.add(bool(error))
    assert results == ({True, False} if _is_bound(caller) else {False})


def _is_bound(caller: Caller) -> bool:
    with open(f"/proc/{caller.tid}/status") as file:
        return os.geteuid() == 0 and "\nUid:\t0\t" not in file.read()


def test_the_kernel_refuses_the_same_opens(caller: Caller, folder: Path) -> None:
    known, _ = refusals(caller)
    for file in FILES:
        path = make_tree(folder, (0, 0o755), file, "a")
        place = look_up(path)
        reads = known.refuses_read(caller.tid, Use.READ, place)
        writes = known.refuses_write(caller.tid, place)
        assert reads == bool(caller.call("os.close(os.open(path, 0))", path, path)), file
        assert writes == bool(caller.call("os.close(os.open(path, 1))", path, path)), file


@pytest.mark.parametrize("target", ["missing", "file", "folder", "full folder"])
@pytest.mark.parametrize("moved", ["file", "folder"])
def test_the_kernel_refuses_the_same_renames(
    caller: Caller, folder: Path, moved: str, target: str
) -> None:
    known, _ = refusals(caller)
    places = [(0, 0o755), (0, 0o777), (0, 0o1777), (NOBODY, 0o755)]
    for above, new_above, own in product(places, places, FILES[:5:2]):
        old = make_tree(folder, above, own, "a")
        new = make_tree(folder, new_above, own, "b")
        if moved == "folder":
            old.unlink()
            old.mkdir()
            make_place(old, *own)
        if target != "file":
            new.unlink()
        if "folder" in target:
            new.mkdir()
            (new / "inner").mkdir() if "full" in target else None
            make_place(new, *own)
        predicted = known.refuses_rename(caller.tid, look_up(old), look_up(new), 0)
        error = caller.call("os.rename(path, other)", old, new)
        assert predicted == bool(error), (above, new_above, own, os.strerror(error))


def test_the_own_credentials_give_the_same_answer(folder: Path) -> None:
    """As long as no thread has other credentials, the kernel is asked."""
    both: list[Any] = []
    for own in (False, True):
        permissions = Permissions(HOST_VIEW)
        permissions.own_credentials = own
        path = make_tree(folder, (0, 0o555), (0, 0o400), "a")
        tid, name, status = os.getpid(), os.fsencode(path), os.stat(path)
        both.append(
            (
                permissions.can_read(tid, name),
                permissions.can_write(tid, name),
                permissions.can_create_in(tid, os.path.dirname(name)),
                permissions.can_delete(tid, os.path.dirname(name), status),
                permissions.can_change_attributes(tid, name, status, "chmod"),
            )
        )
    assert both[0] == both[1]


def test_names_on_two_file_systems(tmp_path: Path) -> None:
    permissions = Permissions(HOST_VIEW)
    same = os.stat("/proc").st_dev == os.stat(tmp_path).st_dev
    assert permissions.is_same_file_system(bytes(tmp_path), b"/proc") is same is False
    assert permissions.is_same_file_system(bytes(tmp_path), bytes(tmp_path.parent))
