"""Apps in containers under the profiles of their traces, and calls that the profiles refuse."""

from __future__ import annotations

import json
import platform
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from bundles import ALLOW, run_bundle
from engine import podman_run
from traces import run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bundles import Runtime
    from conftest import Tracee

USUAL = {"nothing": "ok", "fork": "ok", "thread": "ok", "abort": "ok", "prctl": "ok"}
"""Calls that are allowed without being in the trace."""
MORE = {
    "inet": "EPERM",
    "unix": "EPERM",
    "netlink": "EPERM",
    "packet": "EPERM",
    "mount": "EPERM",
    "personality": "EPERM",
    "keyctl": "EPERM",
    "clone-user": "EPERM",
    "clone3": "ENOSYS",
    "ptrace": "EPERM",
    "unshare": "EPERM",
}
"""Refused calls. The order matters: a traced process, or one in another namespace, may do less."""
UNCONFINED = dict.fromkeys(MORE, "ok") | {"mount": "EFAULT", "keyctl": "ENOKEY"}
TRACING = pytest.mark.parametrize("tracing", [(), ("--syscalls", "all")], ids=["path", "all"])
PRIVILEGES = pytest.mark.parametrize(
    "no_new_privileges", [False, True], ids=["privileges", "no-new-privileges"]
)


class App:
    """A static program in its own root.

    :ivar folder: the folder with ``rootfs``.
    :ivar told: the messages about the last profile.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.told = ""
        self.root = folder / "rootfs"
        (self.root / "dev").mkdir(parents=True)
        shutil.copy2(program, self.root / "app")

    def profile(self, does: Sequence[str], tracing: Sequence[str] = (), *options: str) -> Path:
        """The profile of a run with these actions."""
        trace, profile = self.folder / "app.trace", self.folder / "app.json"
        argv = ("-q", "run", "--force", "-o", str(trace), *tracing)
        done = run_slimtrace(*argv, "--", str(self.root / "app"), *does)
        assert done.returncode == 0, done.stderr
        assert parse_output(done.stdout).keys() == set(does)
        done = run_slimtrace("profile", str(trace), "--seccomp", str(profile), *options)
        assert done.returncode == 0, done.stderr
        self.told = done.stderr
        return profile

    def contained(self, seccomp: object, *does: str, flags: Sequence[str] = ()) -> dict[str, str]:
        """The program's output for these actions in a container of podman."""
        options = ("--security-opt", f"seccomp={seccomp}", "--cap-add", "NET_RAW", *flags)
        done = podman_run(*options, "--rootfs", str(self.root), "/app", *does)
        assert done.returncode == 0, done.stderr
        return parse_output(done.stdout)


@pytest.fixture
def app(tmp_path: Path, tracee: Tracee) -> App:
    return App(tmp_path, tracee("one_more", "-static"))


def parse_output(output: str) -> dict[str, str]:
    return dict(line.split() for line in output.splitlines())


@TRACING
def test_an_app_does_what_it_did_and_one_more_thing_is_refused(
    app: App, tracing: Sequence[str]
) -> None:
    profile = app.profile(["nothing"], tracing)
    assert app.contained("unconfined", *MORE) == UNCONFINED
    assert app.contained(profile, *USUAL, *MORE) == {**USUAL, **MORE}
    hardened = ("--security-opt", "no-new-privileges", "--cap-drop", "all", "--user", "65532:65532")
    expected = {**USUAL, **MORE}
    assert app.contained(profile, *USUAL, *MORE, flags=(*hardened, "--read-only")) == expected


@PRIVILEGES
@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize("uid", [0, 65532])
def test_runtimes_start_it(
    app: App, runtime: Runtime, uid: int, *, no_new_privileges: bool
) -> None:
    """A profile that allows only the calls of an exact trace, and those of the runtime."""
    profile = json.loads(app.profile(["nothing"], ("--syscalls", "all")).read_text())
    done = run_bundle(
        *(runtime, app.folder, profile, "/app", *USUAL, "unshare"),
        no_new_privileges=no_new_privileges,
        uid=uid,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert parse_output(done.stdout) == {**USUAL, "unshare": "EPERM"}
    free = run_bundle(
        runtime, app.folder, ALLOW, "/app", "unshare", no_new_privileges=no_new_privileges
    )
    assert parse_output(free.stdout) == {"unshare": "ok"}


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_profile_for_no_new_privileges_starts_with_nothing_else(
    app: App, runtime: Runtime
) -> None:
    path = app.profile(["nothing"], ("--syscalls", "all"), "--no-new-privileges")
    profile = json.loads(path.read_text())
    assert not {"setuid", "setgroups", "capset"} & allowed(profile)
    run = (runtime, app.folder, profile, "/app", "nothing")
    assert run_bundle(*run, no_new_privileges=True).stdout == "nothing ok\n"
    assert run_bundle(*run, no_new_privileges=False).returncode != 0


@TRACING
def test_what_the_app_did_it_may_do_again(app: App, tracing: Sequence[str]) -> None:
    does = ("inet", "netlink", "packet", "personality", "keyctl", "clone-user", "ptrace", "unshare")
    profile = app.profile(does, tracing)
    expected = {each: UNCONFINED[each] for each in does}
    assert app.contained(profile, *does) == expected
    # IPv6 also covers IPv4; all other uses of these calls are refused.
    others = {"inet6": "ok", "unix": "EPERM", "no-aslr": "EPERM", "clone3": "ENOSYS"}
    assert app.contained(profile, *others) == others


def test_a_call_that_is_asked_for_is_allowed_whatever_its_arguments(app: App) -> None:
    asked = ("--allow", "clone", "--allow", "clone3", "--allow", "socket", "--allow", "mount")
    profile = app.profile(["nothing"], (), *asked)
    free = ("inet", "packet", "mount", "clone-user", "clone3")
    assert app.contained(profile, *free) == {each: UNCONFINED[each] for each in free}
    assert app.contained(profile, "keyctl") == {"keyctl": "EPERM"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="i386 programs run there")
def test_a_32_bit_app(tmp_path: Path, tracee: Tracee) -> None:
    app = App(tmp_path, tracee("one_more", "-static", "-m32"))
    profile = app.profile(["unix"])
    architectures = json.loads(profile.read_text())["architectures"]
    assert architectures == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    expected = {"unix": "ok", "fork": "ok", "thread": "ok", "keyctl": "EPERM", "unshare": "EPERM"}
    assert app.contained(profile, *expected) == expected
    # glibc makes its sockets by socketcall(2), whose arguments a filter cannot read.
    assert app.contained(profile, "packet") == {"packet": "ok"}
    assert "sockets of every family" in app.told


@pytest.mark.skipif(platform.machine() != "x86_64", reason="i386 programs run there")
def test_a_32_bit_program_where_none_was_seen(tmp_path: Path, tracee: Tracee) -> None:
    """Its call numbers differ and would bypass every rule, so the kernel kills it."""
    app = App(tmp_path, tracee("one_more", "-static"))
    profile = app.profile(["nothing"])
    shutil.copy2(tracee("one_more", "-static", "-m32"), app.root / "app")
    argv = ("--security-opt", f"seccomp={profile}", "--rootfs", str(app.root), "/app", "nothing")
    assert podman_run(*argv).returncode == 128 + 31  # SIGSYS


def allowed(profile: dict[str, Any]) -> set[str]:
    """The calls that a profile allows, always or sometimes."""
    rules = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    return {name for rule in rules for name in rule["names"]}


def test_the_same_trace_gives_the_same_bytes(
    app: App, slimtrace: Callable[..., Any], tmp_path: Path
) -> None:
    profile = app.profile(["unix"])
    for path in ("-", str(tmp_path / "again")):
        done = slimtrace("profile", str(app.folder / "app.trace"), "--seccomp", path)
        again = done.stdout if path == "-" else (tmp_path / "again").read_text()
        assert again == profile.read_text()
