"""A hostile image reaches nothing of its caller: terminal, process group, keyring, devices."""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from engine import compile_static
from requirements import need_root, skip_missing
from traces import allow_all_users, command, environment, run_slimtrace

from slimtrace.tracer.engines.choice import ENGINES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *devices[] = {"null", "zero", "full", "random", "urandom", "tty"};

static int group(void)
{
    printf("sid %d group %d\n", getsid(0) == getpid(), getpgrp() == getpid());
    fflush(stdout);
    return kill(0, SIGKILL);
}

static int terminal(void)
{
    int streams[] = {0, 1, 2, open("/dev/tty", O_RDWR | O_NOCTTY)};
    for (int i = 0; i < 4; i++)
        if (streams[i] >= 0 && ioctl(streams[i], TIOCSTI, "!") == 0)
            puts("typed");
    return 0;
}

static int keyring(void)
{
    char value[64] = {0};
    long key = syscall(SYS_keyctl, 10, -3, "user", "slimtrace-test", 0);
    puts(key >= 0 && syscall(SYS_keyctl, 11, key, value, 63) >= 0 ? value : "no key");
    return 0;
}

static int change_devices(void)
{
    char path[32];
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        chmod(path, 0640);
        chown(path, 7, 7);
    }
    int null = open("/dev/null", O_WRONLY), full = open("/dev/full", O_WRONLY);
    printf("null %zd full %d\n", write(null, "x", 1), write(full, "x", 1) < 0 ? errno : 0);
    return 0;
}

int main(int argc, char **argv)
{
    switch (argv[1][0]) {
    case 'g': return group();
    case 't': return terminal();
    case 'k': return keyring();
    default: return change_devices();
    }
}
"""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_KEYCTL, _ADD_KEY = 250, 248  # x86_64


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hostile")
    return compile_static(str(folder), SOURCE)


@pytest.fixture
def root(tmp_path: Path, program: str) -> str:
    folder = tmp_path / "root"
    folder.mkdir(mode=0o755)
    os.link(program, folder / "program")
    allow_all_users(tmp_path)
    return str(folder)


@pytest.fixture(params=["as root", "rootless"])
def prefix(request: pytest.FixtureRequest) -> Sequence[str]:
    if request.param == "as root":
        need_root()
        return ()
    argv: Sequence[str] = request.getfixturevalue("unprivileged")
    return argv


def run_arguments(root: str, engine: str, action: str, *options: str) -> tuple[str, ...]:
    output = os.path.join(os.path.dirname(root), "app.trace")
    given = ("--engine", engine, "--force", "-o", output, "--image", f"rootfs:{root}", *options)
    return "-q", "run", *given, "--", "/program", action


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [(), ("--init",)])
def test_a_signal_to_the_process_group_stays_in_the_image(
    root: str, prefix: Sequence[str], engine: str, options: tuple[str, ...]
) -> None:
    """An entrypoint's ``kill 0`` ends the app, not slimtrace or the script that called it."""
    done = run_slimtrace(*run_arguments(root, engine, "group", *options), prefix=prefix)
    assert done.stdout == "sid 1 group 1\n", done.stderr
    # The kernel spares process 1 of a PID namespace (pid_namespaces(7)).
    assert done.returncode == (128 + signal.SIGKILL if options else 0)


def test_an_app_types_nothing_into_the_terminal(root: str, prefix: Sequence[str]) -> None:
    """TIOCSTI needs the terminal to be the caller's own (ioctl_tty(2))."""
    argv = [*prefix, *command(*run_arguments(root, "notify", "terminal"))]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, environment())  # noqa: S606 -- slimtrace itself
    said = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # EIO: its last process has ended
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    assert b"typed" not in said


def test_the_session_keyring_is_not_the_callers(root: str) -> None:
    need_root()
    script = (
        "import ctypes, subprocess, sys\n"
        "call = ctypes.CDLL(None).syscall\n"
        f"assert call({_KEYCTL}, 1, 0) >= 0\n"
        f"assert call({_ADD_KEY}, b'user', b'slimtrace-test', b'secret', 6, -3) >= 0\n"
        "sys.exit(subprocess.run(sys.argv[1:]).returncode)\n"
    )
    if os.uname().machine != "x86_64" or ctypes.CDLL(None).syscall(_KEYCTL, 0, -3, 1) < 0:
        skip_missing("keyrings are refused here")
    words = command(*run_arguments(root, "notify", "keyring"))
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "no key\n"), done.stderr


def test_the_machines_device_nodes_are_out_of_reach(root: str, prefix: Sequence[str]) -> None:
    before = {name: os.stat(f"/dev/{name}")[:6] for name in DEVICES}
    try:
        done = run_slimtrace(*run_arguments(root, "notify", "devices"), prefix=prefix)
        assert done.stdout == "null 1 full 28\n", done.stderr  # ENOSPC
        assert {name: os.stat(f"/dev/{name}")[:6] for name in DEVICES} == before
    finally:
        for name in DEVICES if os.geteuid() == 0 else ():
            os.chmod(f"/dev/{name}", before[name][0] & 0o7777)
            os.chown(f"/dev/{name}", before[name][4], before[name][5])
