"""The sandbox on a real root of a few copied programs, as the caller and as an ordinary user."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from parts import missing, need_root
from repository import ROOT
from roots import copy_program

from slimtrace.tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
    SlimtraceError,
    UsageError,
)
from slimtrace.tracer.sandbox import Sandbox
from slimtrace.tracer.sandbox.userns import what_forbids

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("sh", "cat", "id", "ls", "sleep", "touch", "readlink", "env", "tty", "ps", "mount")
NOBODY = 65534
# setpriv keeps root's capabilities until its exec: the exec of env, not that of the program.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env")
POINTS = ("proc", "sys", "dev", "run", "tmp", "etc", "work")

DRIVER = """
import json, subprocess, sys
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox import Sandbox
given = json.loads(sys.argv[1])
argv = given.pop("argv")
try:
    process = Sandbox(**given).popen(argv, stdout=subprocess.PIPE)
except SlimtraceError as error:
    print(json.dumps({"error": error.message, "hint": error.hint, "status": error.exit_status}))
else:
    out = process.communicate()[0].decode(errors="replace")
    print(json.dumps({"out": out, "status": process.returncode}))
"""

NO_USER_NAMESPACES = """
import ctypes, os, sys
assert ctypes.CDLL(None).unshare(0x10000000) == 0
for name, value in ("setgroups", "deny"), ("uid_map", f"1000 {os.getuid()} 1"), (
    "gid_map", f"1000 {os.getgid()} 1"):
    open(f"/proc/self/{name}", "w").write(value)
open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Site:
    """A place with a root and a copy of the tracer that every user can read."""

    base: Path
    python: str

    @property
    def root(self) -> Path:
        return self.base / "root"


def python_for_nobody() -> str:
    """A Python that an ordinary user can execute; the one that runs the tests may be private."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"

    def runs(python: str) -> bool:
        command = [*AS_NOBODY, python, "-c", check]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    python = next(filter(runs, (sys.executable, "/usr/bin/python3")), None)
    if python is None:
        missing("a Python 3.11 that an ordinary user can execute")
    return python


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="slimtrace-sandbox-") as name:
        base = Path(name)
        base.chmod(0o755)
        shutil.copytree(
            f"{ROOT}/slimtrace",
            base / "slimtrace",
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )
        root = base / "root"
        for point in POINTS:
            (root / point).mkdir(parents=True)
        (root / "work").chmod(0o1777)
        (root / "etc/resolv.conf").touch()
        (root / "etc/hosts").touch()
        for program in PROGRAMS:
            found = shutil.which(program)
            assert found is not None
            copy_program(found, root, f"/bin/{program}")
        (root / "bin/text").write_text("no program\n")
        (root / "bin/orphan").write_text("#!/bin/nothing\n")
        (root / "bin/orphan").chmod(0o755)
        yield Site(base, python_for_nobody() if os.getuid() == 0 else sys.executable)


@pytest.fixture(scope="module", params=["caller", "ordinary-user"])
def who(request: pytest.FixtureRequest, site: Site) -> list[str]:
    """The prefix that makes a command run as the user under test."""
    if request.param == "ordinary-user":
        need_root()  # who is no root is an ordinary user as the caller
    prefix = [] if request.param == "caller" else list(AS_NOBODY)
    refused = drive(site, prefix, "sh", "-c", "exit 0").get("error")
    if refused is not None and (prefix or os.getuid() != 0):
        missing(f"user namespaces for users: {refused}")
    return prefix


def drive(site: Site, who: list[str], *argv: str, **given: Any) -> dict[str, Any]:
    """Run ``argv`` in a sandbox that another process makes, maybe as another user."""
    given = {"root": str(site.root), "env": {}, "argv": argv, **given}
    result = subprocess.run(
        [*who, site.python, "-c", DRIVER, json.dumps(given)],
        cwd=site.base,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    answer["err"] = result.stderr
    return answer


def shell(site: Site, who: list[str], script: str, **given: Any) -> str:
    """What a shell script prints in a sandbox."""
    answer = drive(site, who, "sh", "-c", script, **given)
    assert answer["status"] == 0, answer
    out: str = answer["out"]
    return out


def tree(root: Path) -> dict[str, tuple[str, int]]:
    """Every path below a root with its mode and size."""
    return {
        str(path.relative_to(root)): (stat.filemode(path.lstat().st_mode), path.lstat().st_size)
        for path in sorted(root.rglob("*"))
    }


def sandbox(site: Site, **given: Any) -> Sandbox:
    return Sandbox(**{"root": str(site.root), "env": {}, **given})


# ---- what the program sees


def test_root_is_the_given_one(site: Site, who: list[str]) -> None:
    expected = sorted(path.name for path in site.root.iterdir())
    assert shell(site, who, "ls /").split() == expected
    assert shell(site, who, "ls /..").split() == expected


@pytest.mark.parametrize("user", ["0:0", "65532:65532", "1000"])
def test_user_is_the_wanted_one(site: Site, who: list[str], user: str) -> None:
    uid, _, gid = user.partition(":")
    expected = [uid, gid or "0", gid or "0"]
    assert shell(site, who, "id -u; id -g; id -G", user=user).split() == expected


def test_processes_are_its_own(site: Site, who: list[str]) -> None:
    assert shell(site, who, "echo $$; readlink /proc/self; ls -d /proc/[0-9]*").split() == [
        "2",
        "3",
        "/proc/1",
        "/proc/2",
    ]


def test_environment_and_workdir(site: Site, who: list[str]) -> None:
    out = shell(site, who, "env; echo in $PWD", env={"A": "b c", "B": "\udcfe"}, workdir="/work")
    lines = out.splitlines()
    assert {"A=b c", "B=\ufffd", "PWD=/work", "in /work"} <= set(lines)
    assert any(line.startswith("PATH=/usr/local/sbin:") for line in lines)
    assert not any(line.startswith(("PYTHON", "HOME")) for line in lines)


def test_devices(site: Site, who: list[str]) -> None:
    out = shell(
        site,
        who,
        "echo x > /dev/null; for d in zero full random urandom tty; do test -c /dev/$d || echo $d;"
        " done; touch /dev/shm/x; readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr;"
        " test -c /dev/ptmx && echo ptmx; echo x > /dev/full || echo full",
        user="65532:65532",
    )
    assert out.split() == [
        "/proc/self/fd",
        *(f"/proc/self/fd/{n}" for n in range(3)),
        "ptmx",
        "full",
    ]


def test_no_privilege_is_gained(site: Site, who: list[str]) -> None:
    status = dict(
        line.split(":\t")
        for line in shell(site, who, "cat /proc/self/status").splitlines()
        if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert status["CapBnd"] == "00000000800405fb"
    out = shell(site, who, "cat /proc/self/status", user="65532:65532")
    assert "CapEff:\t0000000000000000" in out
    for script in ("mount -n -t tmpfs none /work", "echo 1 > /proc/sys/kernel/ns_last_pid"):
        assert drive(site, who, "sh", "-c", script)["status"] != 0


def test_only_standard_descriptors(site: Site, who: list[str]) -> None:
    assert shell(site, who, "ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3: ls's own


def test_network_names_are_the_machines(site: Site, who: list[str]) -> None:
    out = shell(site, who, "cat /etc/hosts /etc/resolv.conf; echo >> /etc/hosts || echo refused")
    machine = [Path(path).read_text() for path in ("/etc/hosts", "/etc/resolv.conf")]
    assert out == "".join(machine) + "refused\n"


# ---- what it does to the root


def test_writes_reach_the_root(site: Site, who: list[str]) -> None:
    name = f"written-{len(who)}"
    shell(site, who, f"echo here > /work/{name}")
    assert (site.root / "work" / name).read_text() == "here\n"


def test_read_only(site: Site, who: list[str]) -> None:
    before = tree(site.root)
    out = shell(
        site,
        who,
        "for d in / /work /etc /bin; do touch $d/x 2>/dev/null && echo wrote $d; done;"
        "touch /tmp/x && ls /tmp; ls /run",
        read_only=True,
        user="65532:65532",
    )
    assert out == "x\n"
    assert tree(site.root) == before


def test_read_only_keeps_what_lies_in_tmp(site: Site, who: list[str]) -> None:
    """An app may live there, and its image is as good as another."""
    (site.root / "tmp").chmod(0o1777)
    app = site.root / "tmp/app"
    app.write_text("here\n")
    try:
        script = "cat /tmp/app; touch /tmp/x && ls /tmp; echo changed > /tmp/app || echo refused"
        out = shell(site, who, script, read_only=True, user="65532:65532")
        assert out.split() == ["here", "app", "x", "refused"]
        assert app.read_text() == "here\n"
        assert os.listdir(app.parent) == ["app"]
    finally:
        app.unlink()
        (site.root / "tmp").chmod(0o755)


@pytest.mark.parametrize("read_only", [False, True])
def test_missing_mount_points_are_not_made_in_the_root(
    site: Site, who: list[str], read_only: bool
) -> None:
    bare = site.base / f"bare,{len(who)}:{read_only}"  # characters that overlay's options know
    bare.mkdir()
    for name in ("bin", "lib", "lib64"):
        if (site.root / name).exists():
            shutil.copytree(site.root / name, bare / name)
    before = tree(bare)
    out = shell(
        site,
        who,
        "readlink /proc/self; echo > /dev/null; cat /etc/hosts; touch /x 2> /dev/null || echo no",
        root=str(bare),
        read_only=read_only,
    )
    assert out == "3\n" + Path("/etc/hosts").read_text() + ("no\n" if read_only else "")
    assert tree(bare) == before


def test_dangling_resolv_conf_is_left_alone(site: Site, who: list[str]) -> None:
    link = site.root / "etc/resolv.conf"
    link.unlink()
    link.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    try:
        assert shell(site, who, "ls -d /run/s*; readlink /etc/resolv.conf") == (
            "/run/systemd/resolve/stub-resolv.conf\n"
        )
    finally:
        link.unlink()
        link.touch()


def test_the_machines_own_root(site: Site, who: list[str]) -> None:
    script = "echo $$; touch /slimtrace-test"
    answer = drive(site, who, "/bin/sh", "-c", script, root="/", read_only=True)
    assert answer["out"] == "2\n"
    assert "Read-only" in answer["err"]
    assert not os.path.exists("/slimtrace-test")


def test_nothing_stays_mounted(site: Site, who: list[str]) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    shell(site, who, "cat /proc/self/mountinfo", read_only=True)
    assert Path("/proc/self/mountinfo").read_text() == before


# ---- how it ends


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)],
)
def test_exit_status(site: Site, who: list[str], script: str, status: int) -> None:
    assert drive(site, who, "sh", "-c", script)["status"] == status


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "QUIT"])
def test_signals_are_passed_on(site: Site, name: str) -> None:
    script = f"trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
    process = sandbox(site).popen(["sh", "-c", script], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.stdout.read() == f"got {name}\n".encode()
    assert process.returncode == 7


def test_signal_without_a_handler_ends_the_program(site: Site) -> None:
    with sandbox(site).popen(["sleep", "1000"]) as process:
        process.terminate()
    assert process.returncode == 143


def test_terminal_interrupts_once(site: Site) -> None:
    script = (
        "trap 'n=$((n+1))' INT; n=0; echo ready; while [ $n = 0 ]; do sleep 0.05; done;"
        "sleep 0.3; echo interrupts: $n"
    )
    given = {"root": str(site.root), "env": {}}
    driver = (
        "import json, sys; from slimtrace.tracer.sandbox import Sandbox; import signal;"
        "signal.signal(signal.SIGINT, lambda *_: None);"
        f"sys.exit(Sandbox(**{given!r}).popen(['sh', '-c', {script!r}]).wait())"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.base)
        os.execv(sys.executable, [sys.executable, "-c", driver])  # noqa: S606
    shown = b""
    try:
        while b"ready" not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, b"\x03")
        while b"interrupts:" not in shown:
            shown += os.read(terminal, 1024)
        assert b"interrupts: 1" in shown
    finally:
        os.waitpid(pid, 0)
        os.close(terminal)


def is_running(marker: str) -> bool:
    """Whether a process has this word among its arguments."""
    for entry in os.listdir("/proc"):
        try:
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in arguments:
            return True
    return False


def wait_until_gone(marker: str) -> None:
    deadline = time.monotonic() + 10
    while is_running(marker):
        assert time.monotonic() < deadline, f"{marker} still runs"
        time.sleep(0.02)


def test_leftovers_end_with_the_program(site: Site, who: list[str]) -> None:
    marker = f"31536000.{os.getpid()}{len(who)}"
    shell(site, who, f"sleep {marker} > /dev/null 2>&1 & sleep {marker} > /dev/null 2>&1 & exit 0")
    wait_until_gone(marker)


def test_dies_with_the_launcher(site: Site) -> None:
    marker = f"31536001.{os.getpid()}"
    with sandbox(site).popen(["sleep", marker]) as process:
        assert is_running(marker)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_until_gone(marker)


def test_dies_with_the_caller(site: Site, who: list[str]) -> None:
    marker = f"31536002.{os.getpid()}{len(who)}"
    given = {"root": str(site.root), "env": {}, "argv": ["sleep", marker]}
    with subprocess.Popen(
        [*who, site.python, "-c", DRIVER, json.dumps(given)], cwd=site.base
    ) as caller:
        deadline = time.monotonic() + 20
        while not is_running(marker):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        caller.kill()
    wait_until_gone(marker)


def test_outlives_the_thread_that_started_it(site: Site) -> None:
    started: list[subprocess.Popen[bytes]] = []
    argv = ["sh", "-c", "sleep 0.5; exit 9"]
    thread = threading.Thread(target=lambda: started.append(sandbox(site).popen(argv)))
    thread.start()
    thread.join()
    assert started[0].wait() == 9


# ---- what can go wrong


@pytest.mark.parametrize(
    ("argv", "error", "message"),
    [
        (["nope"], CommandNotFoundError, "cannot run nope: not found in "),
        (["/bin/nope"], CommandNotFoundError, "cannot run /bin/nope: not found in "),
        (["/bin/text"], CannotExecuteError, "cannot run /bin/text: Permission denied"),
        (["/bin"], CannotExecuteError, "cannot run /bin: Permission denied"),
        (["/bin/orphan"], CannotExecuteError, "cannot run /bin/orphan: its interpreter or loader"),
    ],
)
def test_commands_that_cannot_run(
    site: Site, argv: list[str], error: type[SlimtraceError], message: str
) -> None:
    with pytest.raises(error) as caught:
        sandbox(site).popen(argv, stdout=subprocess.PIPE)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"root": "/nonexistent"}, "cannot enter /nonexistent: "),
        ({"root": "/etc/passwd"}, "cannot enter /etc/passwd: "),
        ({"workdir": "/nope"}, "working directory /nope: No such file or directory"),
    ],
)
def test_roots_that_cannot_be_entered(site: Site, given: dict[str, str], message: str) -> None:
    with pytest.raises(SlimtraceError) as caught:
        sandbox(site, **given).popen(["sh"])
    assert message in caught.value.message
    assert caught.value.exit_status == 125


def test_user_is_numeric(site: Site) -> None:
    with pytest.raises(UsageError, match="cannot run as nobody: not a numeric uid:gid"):
        sandbox(site, user="nobody")


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        ("user/max_user_namespaces", "96365", "CAP_SYS_ADMIN"),
    ],
)
def test_hint_names_the_setting(tmp_path: Path, setting: str, value: str, hint: str) -> None:
    file = tmp_path / setting
    file.parent.mkdir(parents=True)
    file.write_text(f"{value}\n")
    assert hint in (what_forbids(PermissionError(1, "x"), str(tmp_path)) or "")
    assert what_forbids(FileNotFoundError(2, "x"), str(tmp_path)) is None


def test_user_namespaces_switched_off(site: Site) -> None:
    answer = drive(
        site, [sys.executable, "-c", NO_USER_NAMESPACES, "/usr/bin/env"], "sh", "-c", "exit 0"
    )
    assert answer["error"] == f"cannot enter {site.root}: namespaces: No space left on device"
    assert "sysctl -w user.max_user_namespaces=10000" in answer["hint"]
    assert answer["status"] == 125


@pytest.mark.parametrize("user", ["0:0", "65532:65532"])
def test_inside_a_container(site: Site, user: str) -> None:
    """Parts of /proc are covered there, and only one user exists."""
    nested = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs none /proc/sys/fs; exec "$@"', "sh"]
    uid = user.partition(":")[0]
    assert shell(site, nested, "id -u; ls /proc/self/fd > /dev/null", user=user).split() == [uid]
