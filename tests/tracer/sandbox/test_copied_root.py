"""The sandbox where there are no namespaces: a copy of the image, entered by chroot.

tests/e2e/test_default_containers.py has it in real containers and builds.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from requirements import need, need_root
from roots import busybox_root, describe_tree
from traces import check_failure, run_slimtrace, show

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Tracee

    Run = Callable[..., subprocess.CompletedProcess[str]]

# A user namespace with all users, in which root has no right to make namespaces or devices.
PREFIX = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
ready, made, mapped, done = *os.pipe(), *os.pipe()
child = os.fork()
if child == 0:
    assert libc.unshare(0x10000000) == 0
    os.write(made, b"x"); os.read(mapped, 1)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    os.execvp("setpriv", ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace", *sys.argv[1:]])
os.read(ready, 1)
for name in "uid_map", "gid_map":
    open(f"/proc/{child}/{name}", "w").write("0 0 4294967295")
os.write(done, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)
"""
APPLETS = ("echo", "grep", "head", "od", "touch", "wc")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run words in a copy of an image; the image stays as it is."""
    need_root()
    need("setpriv")
    tree = {"srv/a": "a\n", "srv/log": "-> /dev/stdout", "etc/mine": "etc\n"}
    root = busybox_root(tmp_path / "root", tree)
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    before = describe_tree(root)

    def start(*words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        arguments = ("run", "--force", "-o", f"{tmp_path}/app.trace", "--image", f"rootfs:{root}")
        done = run_slimtrace(
            *(*arguments, *options, "--", *words),
            prefix=(sys.executable, "-c", PREFIX),
            cwd=str(tmp_path),
        )
        assert "Traceback" not in done.stderr
        assert describe_tree(root) == before
        return done

    return start


def states(tmp_path: Path) -> dict[str, str]:
    document: dict[str, Any] = show(f"{tmp_path}/app.trace")
    assert document["runs"][0]["complete"]
    return {
        entry["path"]: state
        for state in ("files", "missing", "created")
        for entry in document[state]
    }


@pytest.mark.parametrize("engine", ["notify", "ptrace"])
@pytest.mark.parametrize("user", ["0:0", "1000:1001", "65532:65532"])
def test_paths_are_those_of_the_image(run: Run, tmp_path: Path, engine: str, user: str) -> None:
    """Also of a relative path, and of a process that the tracer may not look at as root."""
    text = "id -u; cat /srv/a; cd /etc; cat mine; echo x >/work/made; cat <hosts >/work/hosts"
    done = run("sh", "-c", text, options=("--user", user, "--engine", engine))
    assert done.stdout.splitlines() == [user.partition(":")[0], "a", "etc"], done.stderr
    assert "running in a copy of the image by chroot" in done.stderr
    found = states(tmp_path)
    assert [found[path] for path in ("/srv/a", "/etc/mine")] == ["files"] * 2
    assert found["/work/made"] == "created"
    assert not [path for path in found if path.startswith(str(tmp_path))]


@pytest.mark.parametrize("user", ["0", "65532"])
def test_what_is_served_of_proc_and_devices(run: Run, user: str) -> None:
    lines = (
        "grep -c Name /proc/self/status; readlink /proc/self/exe; [ -e /proc/self/maps ] && echo m",
        "ls /proc/self/fd | head -1; echo x >/dev/null; cat /dev/null",
        "head -c 2 /dev/zero | od | head -1; [ $(head -c 9 /dev/urandom | wc -c) = 9 ] && echo r",
        "echo logged >/srv/log" if user == "0" else "echo logged",
    )
    done = run("sh", "-c", "\n".join(lines), options=("--user", user))
    expected = ["1", "/bin/busybox", "m", "0", "0000000 000000", "r", "logged"]
    assert done.stdout.splitlines() == expected, done.stderr


@pytest.mark.parametrize("user", ["0", "65532"])
def test_what_is_not_served(run: Run, tmp_path: Path, user: str) -> None:
    """Nothing outside the copy is opened for the app."""
    (tmp_path / "outside").write_text("outside\n")
    outside = f"/proc/self/../..{tmp_path}/outside", f"/proc/{os.getpid()}/root/{tmp_path}/outside"
    text = "; ".join(f"cat {path}" for path in outside) + "; echo 1 >/proc/sys/kernel/ns_last_pid"
    done = run("sh", "-c", f"{text}; echo end", options=("--user", user))
    assert done.stdout == "end\n"


def test_the_end_of_the_app_ends_all(run: Run) -> None:
    done = run("sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 3")
    assert done.returncode == 3


def test_no_file_grants_privileges(run: Run, tmp_path: Path, tracee: Tracee) -> None:
    """A seccomp filter needs no_new_privs where the tracer is not privileged."""
    program = tmp_path / "root/bin/print_euid"
    shutil.copy(tracee("print_euid", "-static"), program)
    program.chmod(0o4755)
    (tmp_path / "root/srv/file").touch()
    arguments = ("run", "--force", "-o", f"{tmp_path}/app.trace", "--user", "1000:1000")
    done = run_slimtrace(
        *(*arguments, "--image", f"rootfs:{tmp_path}/root", "--", "print_euid", "/srv"),
        prefix=(sys.executable, "-c", PREFIX),
    )
    assert done.stdout == "1000\n", done.stderr
    runs = show(f"{tmp_path}/app.trace")["runs"]
    assert [gap["kind"] for gap in runs[0]["gaps"]] == ["setuid"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("-v", "/etc:/mnt"), "mount volumes"),
        (("--network", "none"), "run without a network"),
    ],
)
def test_what_cannot_be_had(run: Run, options: tuple[str, ...], what: str) -> None:
    done = run("true", options=options)
    hint = done.stderr.splitlines()[-1]
    message = f"cannot {what}: this container allows no mounts and namespaces"
    check_failure(done, 125, message, hint.removeprefix("slimtrace: "))
