"""Tracing in different environments: as root, as a user, in containers, builds and namespaces.

If tracing is forbidden there, the message names the setting to change in that environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import pytest
from container_root import DIRECTORIES, ContainerRoot, make_container_root, place_tools
from engine import Builder, build_image, podman_run
from requirements import need, need_root, skip_missing
from traces import SECONDS, allow_all_users, environment, make_tree, run_slimtrace

from slimtrace.tracer.host.container import (
    PTRACE_SCOPE,
    HostEnvironment,
    detect_environment,
    read_ptrace_scope,
    suggest_permission,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from slimtrace.tracer.errors import Refused

USER = 1000
FIRST_SUBORDINATE = 100_000

# A shell that starts a program, so that the tracer must follow a fork and an exec.
APP = "sh -c 'cat /etc/hello; true'"
STEP = (
    f"/tool/slimtrace -q run -o /tmp/$(id -u).trace -- {APP}"
    " && /tool/slimtrace show /tmp/$(id -u).trace --json >/out/$(id -u).json"
    " && cat /proc/self/status >/out/$(id -u).status"
)


@pytest.fixture
def container_root(tmp_path: Path) -> ContainerRoot:
    return make_container_root(tmp_path)


def check_trace(document: dict[str, Any], path: str, user: str, engine: str = "notify") -> None:
    """Check that the trace is complete and contains the file that the app read."""
    run = document["runs"][-1]
    assert run["gaps"] == []
    assert (run["exit_status"], run["complete"], run["user"]) == (0, True, user)
    assert run["engine"] == engine
    assert {entry["path"]: entry["uses"] for entry in document["files"]}[path] == ["read"]
    programs = [os.path.basename(image["argv"][0]) for image in document["processes"]]
    assert programs == ["sh", "cat"]


# ---- the host and its namespaces


@dataclass(frozen=True)
class Host:
    """A folder with a file, and the argv prefix that runs a command as some user."""

    folder: str
    prefix: Sequence[str]
    slimtrace: Sequence[str]

    def trace(self, *namespaces: str) -> dict[str, Any]:
        """Trace the app there, in these namespaces."""
        prefix = [*self.prefix, *namespaces]
        done = self._call(*prefix, "true")
        if done.returncode != 0:
            skip_missing(f"the right to make these namespaces ({done.stderr.strip()})")
        output = f"{self.folder}/out/app.trace"
        app = ("sh", "-c", f"cat {self.folder}/hello; true")
        done = self._call(*prefix, *self.slimtrace, "-q", "run", "-o", output, "--", *app)
        assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
        document: dict[str, Any] = json.loads(run_slimtrace("show", output, "--json").stdout)
        return document

    def _call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=environment(),
            timeout=SECONDS,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Return the user who runs the tests."""
    (tmp_path / "out").mkdir()
    (tmp_path / "hello").write_text("hello\n")
    return Host(str(tmp_path), (), (sys.executable, "-m", "slimtrace"))


@pytest.fixture
def user(host: Host, tmp_path: Path) -> Host:
    """Return an ordinary user without capabilities; the interpreter is mounted for it."""
    if os.geteuid() != 0:
        return host
    need("setpriv", "unshare", "mount")
    allow_all_users(tmp_path)
    (tmp_path / "out").chmod(0o1777)
    place_tools(tmp_path, host.folder)
    mounts = [
        f"mount --bind '{source}' '{host.folder}/tool/{name}'"
        for name, source in DIRECTORIES.items()
    ]
    script = " && ".join([*mounts, 'exec "$@"'])
    lower = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    prefix = ("unshare", "-m", "sh", "-c", script, "sh", *lower)
    return Host(host.folder, prefix, (f"{host.folder}/tool/slimtrace",))


def own_name() -> str:
    return f"{os.geteuid()}:{os.getegid()}"


def user_name() -> str:
    return own_name() if os.geteuid() else f"{USER}:{USER}"


def test_on_the_host_as_whoever_runs_the_tests(host: Host) -> None:
    check_trace(host.trace(), f"{host.folder}/hello", own_name())


def test_on_the_host_as_a_user(user: Host) -> None:
    check_trace(user.trace(), f"{user.folder}/hello", user_name())


NAMESPACES = pytest.mark.parametrize(
    "flags", [("-Ur",), ("-Urm",), ("-Urmpf", "--mount-proc")], ids=["user", "mounts", "processes"]
)


@NAMESPACES
def test_in_namespaces(host: Host, flags: Sequence[str]) -> None:
    need("unshare")
    check_trace(host.trace("unshare", *flags), f"{host.folder}/hello", "0:0")


@NAMESPACES
def test_in_namespaces_of_a_user(user: Host, flags: Sequence[str]) -> None:
    need("unshare")
    check_trace(user.trace("unshare", *flags), f"{user.folder}/hello", "0:0")


# ---- containers and builds

HARDENED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
)


def run_in(
    container_root: ContainerRoot, *options: str, step: str = STEP
) -> subprocess.CompletedProcess[str]:
    return podman_run(
        *container_root.volumes,
        *options,
        "--rootfs",
        container_root.root,
        "/usr/bin/sh",
        "-c",
        step,
    )


@pytest.mark.parametrize(
    ("options", "uid"),
    [((), 0), (("--user", "1000"), USER), ((*HARDENED, "--user", "1000"), USER)],
    ids=["root", "a user", "a user of a hardened one"],
)
def test_in_a_container(container_root: ContainerRoot, options: Sequence[str], uid: int) -> None:
    done = run_in(container_root, *options)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    check_trace(container_root.document(uid), "/etc/hello", f"{uid}:0")
    status = container_root.status(uid)
    assert status["Seccomp"] == "2", "the engine's filter"
    assert int(status["CapBnd"], 16) & 1 << 19 == 0, "no CAP_SYS_PTRACE"


@pytest.mark.parametrize("uid", [0, USER])
def test_in_a_container_with_a_user_namespace(container_root: ContainerRoot, uid: int) -> None:
    need_root()  # other users have only containers of this kind, tested above
    for folder, names, files in os.walk(container_root.root):
        for name in [".", *names, *files]:
            os.lchown(os.path.join(folder, name), FIRST_SUBORDINATE, FIRST_SUBORDINATE)
    mapped = ("--uidmap", f"0:{FIRST_SUBORDINATE}:65536", "--user", str(uid))
    done = run_in(container_root, *mapped)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    check_trace(container_root.document(uid), "/etc/hello", f"{uid}:0")


def build_in(
    container_root: ContainerRoot, builder: Builder, steps: str, *options: str
) -> subprocess.CompletedProcess[str]:
    with open(f"{os.path.dirname(container_root.root)}/Dockerfile", "w") as file:
        file.write(f"FROM scratch\nCOPY root/ /\n{steps}")
    return build_image(
        builder, os.path.dirname(container_root.root), *container_root.volumes, *options
    )


@pytest.mark.parametrize("builder", get_args(Builder))
def test_in_a_step_of_a_build(container_root: ContainerRoot, builder: Builder) -> None:
    done = build_in(container_root, builder, f"RUN {STEP}\nUSER {USER}\nRUN {STEP}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    for uid in (0, USER):
        check_trace(container_root.document(uid), "/etc/hello", f"{uid}:0")
        assert container_root.status(uid)["Seccomp"] == "2", "the builder's filter"


# ---- where tracing is forbidden


def profile(container_root: ContainerRoot, what: str, number: int) -> str:
    """Make the option for a seccomp profile that refuses a call without CAP_SYS_PTRACE."""
    rule = {
        "names": [what],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": number,
        "excludes": {"caps": ["CAP_SYS_PTRACE"]},
    }
    name = f"{container_root.out}/profile.json"
    with open(name, "w") as file:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, file)
    return f"seccomp={name}"


def expect_refusal(engine: str) -> str:
    """Make a step that succeeds if tracing is refused (podman also uses status 125)."""
    return f"/tool/slimtrace run --engine {engine} -o /tmp/t -- {APP} 2>/out/errors; test $? = 125"


def check_refusal(container_root: ContainerRoot, message: str, hint: str) -> None:
    """Check the two lines of the refusal; the hint is compared by its start."""
    with open(f"{container_root.out}/errors") as file:
        lines = file.read().splitlines()
    assert lines[0] == f"slimtrace: cannot trace: {message}"
    assert lines[1].startswith(f"slimtrace: {hint}")
    assert len(lines) == 2


EPERM, ENOSYS = 1, 38
CONTAINER = "start the container with "
BUILD = "build by podman or buildah with "
CAPABILITY, PROFILE = "--cap-add SYS_PTRACE", "--security-opt seccomp="
REFUSED: dict[str, tuple[Refused, int, str, str]] = {
    "ptrace": ("ptrace", EPERM, "ptrace", f"{CAPABILITY}, or {PROFILE}"),
    "ptrace, as if unknown": ("ptrace", ENOSYS, "ptrace", f"{CAPABILITY}, or {PROFILE}"),
    "seccomp": ("seccomp", EPERM, "notify", PROFILE),
    "seccomp, as if unknown": ("seccomp", ENOSYS, "notify", PROFILE),
}


@pytest.mark.parametrize(("what", "number", "engine", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_container_that_forbids_tracing(
    container_root: ContainerRoot, what: Refused, number: int, engine: str, hint: str
) -> None:
    refusing = ("--security-opt", profile(container_root, what, number))
    done = run_in(container_root, *refusing, step=expect_refusal(engine))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    message = f"{what} is refused: {os.strerror(number)}"
    check_refusal(container_root, message, f"allow {what}: {CONTAINER}{hint}")


@pytest.mark.parametrize("engine", ["notify", "ptrace"])
def test_a_container_that_forbids_reading_memory(
    container_root: ContainerRoot, engine: str
) -> None:
    """Docker's profile does; /proc/PID/mem serves instead."""
    refusing = ("--security-opt", profile(container_root, "process_vm_readv", EPERM))
    done = run_in(
        container_root, *refusing, step=STEP.replace("-q run", f"-q run --engine {engine}")
    )
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    check_trace(container_root.document(0), "/etc/hello", "0:0", engine)


@pytest.mark.parametrize(("what", "engine"), [("ptrace", "notify"), ("seccomp", "ptrace-syscall")])
def test_a_container_that_forbids_what_one_engine_needs(
    container_root: ContainerRoot, what: Refused, engine: str
) -> None:
    """Another engine works there."""
    refusing = ("--security-opt", profile(container_root, what, EPERM))
    done = run_in(container_root, *refusing)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    check_trace(container_root.document(0), "/etc/hello", "0:0", engine)


def test_a_container_started_with_the_options_of_the_hint(container_root: ContainerRoot) -> None:
    refusing = ("--security-opt", profile(container_root, "ptrace", EPERM))
    done = run_in(container_root, *refusing, "--cap-add", "SYS_PTRACE")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    check_trace(container_root.document(0), "/etc/hello", "0:0")


def test_a_build_that_forbids_tracing(container_root: ContainerRoot) -> None:
    refusing = ("--security-opt", profile(container_root, "ptrace", EPERM))
    done = build_in(container_root, "podman", f"RUN {expect_refusal('ptrace')}\n", *refusing)
    assert done.returncode == 0, done.stdout + done.stderr
    hint = f"allow ptrace: {BUILD}{CAPABILITY}, or {PROFILE}"
    check_refusal(container_root, "ptrace is refused: Operation not permitted", hint)


def test_a_build_started_with_the_options_of_the_hint(container_root: ContainerRoot) -> None:
    refusing = ("--security-opt", profile(container_root, "ptrace", EPERM))
    done = build_in(container_root, "podman", f"RUN {STEP}\n", *refusing, "--cap-add", "SYS_PTRACE")
    assert done.returncode == 0, done.stdout + done.stderr
    check_trace(container_root.document(0), "/etc/hello", "0:0")


HINTS: dict[tuple[Refused, HostEnvironment, str | None], tuple[str, ...]] = {
    # Yama's strictest setting cannot be changed until the next boot, in any environment.
    ("ptrace", HostEnvironment.HOST, "3"): ("until the next boot", PTRACE_SCOPE),
    ("ptrace", HostEnvironment.CONTAINER, "3"): ("until the next boot", PTRACE_SCOPE),
    ("process_vm_readv", HostEnvironment.BUILD, "3"): ("until the next boot", PTRACE_SCOPE),
    ("seccomp", HostEnvironment.CONTAINER, "3"): (CONTAINER, PROFILE),
    # On a host: Yama's file, or the reason why Yama is not the cause.
    ("ptrace", HostEnvironment.HOST, "2"): (f"set {PTRACE_SCOPE} to 1", "trace as root"),
    ("process_vm_readv", HostEnvironment.HOST, "2"): (f"set {PTRACE_SCOPE} to 1", "trace as root"),
    ("process_vm_readv", HostEnvironment.HOST, "1"): (f"set {PTRACE_SCOPE} to 0", "trace as root"),
    ("ptrace", HostEnvironment.HOST, "1"): ("seccomp filter", f"{PTRACE_SCOPE} does not: it is 1"),
    ("ptrace", HostEnvironment.HOST, "0"): ("seccomp filter", f"{PTRACE_SCOPE} does not: it is 0"),
    ("ptrace", HostEnvironment.HOST, None): ("a seccomp filter or a security module",),
    ("seccomp", HostEnvironment.HOST, "1"): ("a seccomp filter or a security module",),
    # In a container: the options to start it with.
    ("ptrace", HostEnvironment.CONTAINER, None): (CONTAINER, CAPABILITY, PROFILE, "allows ptrace"),
    ("ptrace", HostEnvironment.CONTAINER, "1"): (CONTAINER, CAPABILITY, PROFILE),
    ("ptrace", HostEnvironment.CONTAINER, "2"): (CONTAINER, CAPABILITY, f"{PTRACE_SCOPE} is 2"),
    ("process_vm_readv", HostEnvironment.CONTAINER, "1"): (
        CONTAINER,
        CAPABILITY,
        f"{PTRACE_SCOPE} is 1",
    ),
    ("process_vm_readv", HostEnvironment.CONTAINER, "0"): (
        CONTAINER,
        PROFILE,
        "allows process_vm_readv",
    ),
    ("seccomp", HostEnvironment.CONTAINER, "1"): (CONTAINER, PROFILE, "allows seccomp"),
    # In a build: the options to start it with.
    ("ptrace", HostEnvironment.BUILD, None): (
        BUILD,
        CAPABILITY,
        PROFILE,
        "RUN --security=insecure",
    ),
    ("seccomp", HostEnvironment.BUILD, None): (BUILD, PROFILE, "RUN --security=insecure"),
}


@pytest.mark.parametrize(
    ("question", "answer"), HINTS.items(), ids=[" ".join(map(str, question)) for question in HINTS]
)
def test_the_hint(
    question: tuple[Refused, HostEnvironment, str | None], answer: Sequence[str]
) -> None:
    hint = suggest_permission(*question)
    assert "\n" not in hint
    assert [text for text in answer if text not in hint] == []
    # Hints must help: capabilities do not change seccomp filters; engine options are not for hosts.
    what, where, _ = question
    assert what != "seccomp" or ("--cap-add" not in hint and PTRACE_SCOPE not in hint)
    assert where is not HostEnvironment.HOST or "--" not in hint


PLACES: dict[str, tuple[dict[str, str], HostEnvironment]] = {
    "nothing": ({}, HostEnvironment.HOST),
    "a host": ({"proc/1/environ": "HOME=/\0containers=x\0"}, HostEnvironment.HOST),
    "podman": ({"run/.containerenv": ""}, HostEnvironment.CONTAINER),
    "podman, privileged": ({"run/.containerenv": 'engine="podman-5"\n'}, HostEnvironment.CONTAINER),
    "docker": ({".dockerenv": ""}, HostEnvironment.CONTAINER),
    "nspawn": ({"run/systemd/container": "systemd-nspawn"}, HostEnvironment.CONTAINER),
    "lxc": ({"proc/1/environ": "HOME=/\0container=lxc\0"}, HostEnvironment.CONTAINER),
    "a pod": (
        {"proc/self/environ": "KUBERNETES_SERVICE_HOST=10.0.0.1\0"},
        HostEnvironment.CONTAINER,
    ),
    "buildah": ({"run/.containerenv": '\nengine="buildah-1.28.2"\n'}, HostEnvironment.BUILD),
    "BuildKit": ({"proc/sys/kernel/hostname": "buildkitsandbox\n"}, HostEnvironment.BUILD),
}


@pytest.mark.parametrize(("tree", "expected"), PLACES.values(), ids=PLACES)
def test_detect_environment(
    tmp_path: Path, tree: dict[str, str], expected: HostEnvironment
) -> None:
    make_tree(str(tmp_path), tree)
    assert detect_environment(str(tmp_path)) is expected


def test_the_setting_of_yama(tmp_path: Path) -> None:
    assert read_ptrace_scope(str(tmp_path)) is None
    make_tree(str(tmp_path), {PTRACE_SCOPE.lstrip("/"): "2\n"})
    assert read_ptrace_scope(str(tmp_path)) == "2"
