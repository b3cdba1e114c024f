"""The sandbox of ``run --image``: its contents, and the settings that can forbid it.

tests/tracer/image tests the traces of such runs.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from requirements import need, skip_missing
from roots import busybox_root, describe_tree
from traces import allow_all_users, check_failure, run_slimtrace

from slimtrace.tracer.host.container import HostEnvironment, suggest_namespaces
from slimtrace.tracer.sandbox.userns import explain_refusal

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOBODY = 65534
APPLETS = ("env", "mount", "touch")
CONTAINER_CAPABILITIES = "00000000800405fb"  # the default set of containers/common
NO_USER_NAMESPACES = """
import ctypes, os, sys
assert ctypes.CDLL(None).unshare(0x10000000) == 0
for name, value in ("setgroups", "deny"), ("uid_map", f"1000 {os.getuid()} 1"), (
    "gid_map", f"1000 {os.getgid()} 1"):
    open(f"/proc/self/{name}", "w").write(value)
open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(params=["caller", "ordinary user"])
def prefix(request: pytest.FixtureRequest) -> Sequence[str]:
    """Return the argv prefix that runs slimtrace as the user under test."""
    if request.param == "caller":
        return ()
    argv: Sequence[str] = request.getfixturevalue("unprivileged")
    if not argv:
        pytest.skip("the caller is an ordinary user")
    return argv


@pytest.fixture
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Make an image's tree that the user under test owns."""
    allow_all_users(tmp_path)
    root = busybox_root(tmp_path / "root")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    if "ordinary user" in request.node.name:
        for path in [root, *root.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return root


@pytest.fixture
def inside(root: Path, tmp_path: Path, prefix: Sequence[str]) -> Run:
    """Run a shell script in the image, and check that the image does not change."""

    def run(
        script: str, *options: str, image: str = f"rootfs:{root}", prefix: Sequence[str] = prefix
    ) -> subprocess.CompletedProcess[str]:
        before = describe_tree(root)
        arguments = ("-q", "run", "--force", "-o", str(tmp_path / "t"), "--image", image)
        argv = ("--", "/bin/sh", "-c", script)
        done = run_slimtrace(*arguments, *options, *argv, cwd=str(tmp_path), prefix=prefix)
        if prefix and "cannot become root" in done.stderr:
            skip_missing(f"user namespaces for users: {done.stderr}")
        assert describe_tree(root) == before
        return done

    return run


def test_devices(inside: Run) -> None:
    done = inside(
        "for name in fd stdin stdout stderr; do readlink /dev/$name; done;"
        " [ -c /dev/ptmx ] && echo ptmx;"
        " echo x >/dev/null && echo x 2>/dev/null >/dev/full || echo full"
    )
    links = ["/proc/self/fd", *(f"/proc/self/fd/{number}" for number in range(3))]
    assert done.stdout.split() == [*links, "ptmx", "full"], done.stderr


@pytest.mark.parametrize("options", [(), ("--security-opt", "no-new-privileges")])
@pytest.mark.parametrize("user", ["0", "65532:65532"])
def test_privileges_are_those_of_a_container(
    inside: Run, user: str, options: tuple[str, ...]
) -> None:
    done = inside(
        "cat /proc/self/status; mount -t tmpfs none /work 2>/dev/null && echo mounted;"
        " echo 1 2>/dev/null >/proc/sys/kernel/ns_last_pid && echo written",
        "--user",
        user,
        *options,
    )
    status = dict(line.split(":\t") for line in done.stdout.splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == str(len(options) // 2)
    assert status["CapBnd"] == CONTAINER_CAPABILITIES
    assert (status["CapEff"] == "0" * 16) == (user != "0")
    assert not {"mounted", "written"} & {*done.stdout.splitlines()}


def test_network_names_are_those_of_the_machine(inside: Run) -> None:
    done = inside("cat /etc/resolv.conf /etc/hosts", "--hostname", "localhost")
    resolver, hosts = (Path(f"/etc/{name}").read_text() for name in ("resolv.conf", "hosts"))
    assert done.stdout.strip() == f"{resolver}{hosts}".strip()


@pytest.mark.parametrize("prefix", ["caller"], indirect=True)
def test_the_machines_own_root(inside: Run, tmp_path: Path) -> None:
    done = inside(f"echo $$; echo x >{tmp_path}/made; ls {tmp_path}", image="rootfs:/")
    assert done.stdout.split()[:2] == ["1", "made"], done.stderr
    assert not os.path.exists(tmp_path / "made")


def test_background_processes_end_with_the_app(inside: Run) -> None:
    marker = f"31536000.{os.getpid()}"
    sleep = f"sleep {marker} >/dev/null 2>&1 &"
    assert inside(f"{sleep} {sleep} exit 3").returncode == 3
    deadline = time.monotonic() + 60
    while _is_running(marker):
        assert time.monotonic() < deadline, f"{marker} still runs"
        time.sleep(0.02)


def _is_running(marker: str) -> bool:
    """Return whether a process has this argument."""
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in arguments:
            return True
    return False


@pytest.mark.parametrize("path", ["/nonexistent", "/etc/passwd"])
def test_roots_that_cannot_be_entered(inside: Run, path: str) -> None:
    done = inside("exit 0", image=f"rootfs:{path}")
    assert done.returncode == 125
    assert path in done.stderr


# ---- settings that can forbid it


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        ("user/max_user_namespaces", "96365", suggest_namespaces()),
    ],
)
def test_the_hint_names_the_setting(tmp_path: Path, setting: str, value: str, hint: str) -> None:
    file = tmp_path / setting
    file.parent.mkdir(parents=True)
    file.write_text(f"{value}\n")
    assert hint in (explain_refusal(PermissionError(1, "x"), str(tmp_path)) or "")
    assert explain_refusal(FileNotFoundError(2, "x"), str(tmp_path)) is None


@pytest.mark.parametrize(
    ("where", "flag"),
    [
        (HostEnvironment.HOST, "run as root"),
        (HostEnvironment.CONTAINER, "--security-opt seccomp=unconfined"),
        (HostEnvironment.BUILD, "buildah --isolation oci"),
    ],
)
def test_the_hint_names_the_flag(where: HostEnvironment, flag: str) -> None:
    assert flag in suggest_namespaces(where)


def test_user_namespaces_switched_off(root: Path, tmp_path: Path) -> None:
    arguments = ("-q", "run", "-o", str(tmp_path / "t"), "--image", f"rootfs:{root}", "--", "id")
    done = run_slimtrace(
        *arguments, prefix=(sys.executable, "-c", NO_USER_NAMESPACES, "/usr/bin/env")
    )
    check_failure(
        done,
        125,
        "cannot become root for the image: namespaces: No space left on device",
        "user.max_user_namespaces=0 forbids it: sysctl -w user.max_user_namespaces=10000, "
        "or run as root",
    )


@pytest.mark.parametrize("user", ["0:0", "65532:65532"])
@pytest.mark.parametrize("prefix", ["caller"], indirect=True)
def test_inside_a_container(inside: Run, user: str) -> None:
    """There, parts of /proc are masked, and only one user exists."""
    need("unshare", "mount")
    script = 'mount -t tmpfs none /proc/sys/fs; exec "$@"'
    container = ("unshare", "-Urm", "sh", "-c", script, "sh")
    done = inside("id -u; ls /proc/self/fd >/dev/null", "--user", user, prefix=container)
    assert (done.returncode, done.stdout.split()) == (0, [user.partition(":")[0]]), done.stderr
