"""Tracing where people trace: as root, as a user, in containers, image builds and namespaces.

And where that is forbidden, the message names what to change in that very place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import pytest
from engine import Builder, build_image, podman_run
from repository import ROOT as HERE
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

# What slimtrace needs to run elsewhere: the interpreter may lie in a home that is closed to others.
PARTS = {
    "python": sys.base_prefix,
    "packages": sysconfig.get_path("purelib"),
    "packages64": sysconfig.get_path("platlib"),
    "source": HERE,
}
SLIMTRACE = """#!/bin/sh
export LD_LIBRARY_PATH={top}/tool/python/lib
export PYTHONPATH={top}/tool/source:{top}/tool/packages:{top}/tool/packages64
exec {top}/tool/python/bin/{python} -m slimtrace "$@"
"""
# A shell that starts a program, so that the tracer has to follow a fork and an exec.
APP = "sh -c 'cat /etc/hello; true'"
STEP = (
    f"/tool/slimtrace -q run -o /tmp/$(id -u).trace -- {APP}"
    " && /tool/slimtrace show /tmp/$(id -u).trace --json >/out/$(id -u).json"
    " && cat /proc/self/status >/out/$(id -u).status"
)


@dataclass(frozen=True)
class Ground:
    """A root for a container: slimtrace, a file to read, and the host's programs.

    :ivar root: its folder.
    :ivar out: a folder beside it, which containers have as /out.
    """

    root: str
    out: str

    @property
    def volumes(self) -> list[str]:
        """The options of ``run`` and ``build`` that mount what the root lacks."""
        mounts = {f"/tool/{name}": source for name, source in PARTS.items()}
        for name in ("usr", "bin", "lib", "lib64"):
            if not os.path.islink(f"/{name}") and os.path.isdir(f"/{name}"):
                mounts[f"/{name}"] = f"/{name}"
        read_only = [word for at, source in mounts.items() for word in ("-v", f"{source}:{at}:ro")]
        # Where SELinux is, it keeps a container from mounts that are not labelled as its own.
        return ["--security-opt", "label=disable", *read_only, "-v", f"{self.out}:/out"]

    def document(self, user: int) -> dict[str, Any]:
        """What ``show --json`` said in the container."""
        with open(f"{self.out}/{user}.json") as file:
            shown: dict[str, Any] = json.load(file)
        return shown

    def status(self, user: int) -> dict[str, str]:
        """/proc/self/status in the container."""
        with open(f"{self.out}/{user}.status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    allow_all_users(tmp_path)
    root, out = tmp_path / "root", tmp_path / "out"
    for folder in (out, root / "tmp"):
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    for name in ("usr", "bin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    (root / "etc").mkdir()
    (root / "etc" / "hello").write_text("hello\n")
    place_tools(root, "")
    return Ground(str(root), str(out))


def place_tools(root: Path, top: str) -> None:
    """Make /tool with the places for the parts, and a program that starts slimtrace from them.

    :param top: where the program will find the root.
    """
    for name in PARTS:
        (root / "tool" / name).mkdir(parents=True)
    program = root / "tool" / "slimtrace"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program.write_text(SLIMTRACE.format(top=top, python=version))
    program.chmod(0o755)


def is_whole(document: dict[str, Any], path: str, user: str, engine: str = "notify") -> None:
    """The trace is complete and holds the file that the app read."""
    run = document["runs"][-1]
    assert run["gaps"] == []
    assert (run["exit_status"], run["complete"], run["user"]) == (0, True, user)
    assert run["engine"] == engine
    assert {entry["path"]: entry["uses"] for entry in document["files"]}[path] == ["read"]
    programs = [os.path.basename(image["argv"][0]) for image in document["processes"]]
    assert programs == ["sh", "cat"]


# ---- the host, and namespaces on it


@dataclass(frozen=True)
class Host:
    """A folder with a file, and the words before a command that run it as somebody."""

    folder: str
    prefix: Sequence[str]
    slimtrace: Sequence[str]

    def trace(self, *namespaces: str) -> dict[str, Any]:
        """Trace the app there, in these namespaces."""
        words = [*self.prefix, *namespaces]
        tried = self._call(*words, "true")
        if tried.returncode != 0:
            skip_missing(f"the right to make these namespaces ({tried.stderr.strip()})")
        output = f"{self.folder}/out/app.trace"
        app = ("sh", "-c", f"cat {self.folder}/hello; true")
        done = self._call(*words, *self.slimtrace, "-q", "run", "-o", output, "--", *app)
        assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
        shown: dict[str, Any] = json.loads(run_slimtrace("show", output, "--json").stdout)
        return shown

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=environment(),
            timeout=SECONDS,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Whoever runs the tests."""
    (tmp_path / "out").mkdir()
    (tmp_path / "hello").write_text("hello\n")
    return Host(str(tmp_path), (), (sys.executable, "-m", "slimtrace"))


@pytest.fixture
def user(host: Host, tmp_path: Path) -> Host:
    """An ordinary user without any capability, whatever home the interpreter lies in."""
    if os.geteuid() != 0:
        return host
    need("setpriv", "unshare", "mount")
    allow_all_users(tmp_path)
    (tmp_path / "out").chmod(0o1777)
    place_tools(tmp_path, host.folder)
    mounts = [
        f"mount --bind '{source}' '{host.folder}/tool/{name}'" for name, source in PARTS.items()
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
    is_whole(host.trace(), f"{host.folder}/hello", own_name())


def test_on_the_host_as_a_user(user: Host) -> None:
    is_whole(user.trace(), f"{user.folder}/hello", user_name())


NAMESPACES = pytest.mark.parametrize(
    "flags", [("-Ur",), ("-Urm",), ("-Urmpf", "--mount-proc")], ids=["user", "mounts", "processes"]
)


@NAMESPACES
def test_in_namespaces(host: Host, flags: Sequence[str]) -> None:
    need("unshare")
    is_whole(host.trace("unshare", *flags), f"{host.folder}/hello", "0:0")


@NAMESPACES
def test_in_namespaces_of_a_user(user: Host, flags: Sequence[str]) -> None:
    need("unshare")
    is_whole(user.trace("unshare", *flags), f"{user.folder}/hello", "0:0")


# ---- containers and builds

HARDENED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
)


def run_in(ground: Ground, *options: str, step: str = STEP) -> subprocess.CompletedProcess[str]:
    return podman_run(*ground.volumes, *options, "--rootfs", ground.root, "/usr/bin/sh", "-c", step)


@pytest.mark.parametrize(
    ("options", "uid"),
    [((), 0), (("--user", "1000"), USER), ((*HARDENED, "--user", "1000"), USER)],
    ids=["root", "a user", "a user of a hardened one"],
)
def test_in_a_container(ground: Ground, options: Sequence[str], uid: int) -> None:
    done = run_in(ground, *options)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    is_whole(ground.document(uid), "/etc/hello", f"{uid}:0")
    status = ground.status(uid)
    assert status["Seccomp"] == "2", "the engine's filter"
    assert int(status["CapBnd"], 16) & 1 << 19 == 0, "no CAP_SYS_PTRACE"


@pytest.mark.parametrize("uid", [0, USER])
def test_in_a_container_with_a_user_namespace(ground: Ground, uid: int) -> None:
    need_root()  # others have containers of this kind only, the ones above
    for folder, names, files in os.walk(ground.root):
        for name in [".", *names, *files]:
            os.lchown(os.path.join(folder, name), FIRST_SUBORDINATE, FIRST_SUBORDINATE)
    mapped = ("--uidmap", f"0:{FIRST_SUBORDINATE}:65536", "--user", str(uid))
    done = run_in(ground, *mapped)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    is_whole(ground.document(uid), "/etc/hello", f"{uid}:0")


def build_in(
    ground: Ground, builder: Builder, steps: str, *options: str
) -> subprocess.CompletedProcess[str]:
    with open(f"{os.path.dirname(ground.root)}/Dockerfile", "w") as file:
        file.write(f"FROM scratch\nCOPY root/ /\n{steps}")
    return build_image(builder, os.path.dirname(ground.root), *ground.volumes, *options)


@pytest.mark.parametrize("builder", get_args(Builder))
def test_in_a_step_of_a_build(ground: Ground, builder: Builder) -> None:
    done = build_in(ground, builder, f"RUN {STEP}\nUSER {USER}\nRUN {STEP}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    for uid in (0, USER):
        is_whole(ground.document(uid), "/etc/hello", f"{uid}:0")
        assert ground.status(uid)["Seccomp"] == "2", "the builder's filter"


# ---- where it is forbidden


def profile(ground: Ground, what: str, number: int) -> str:
    """The option for a seccomp profile that refuses a call to all without CAP_SYS_PTRACE."""
    rule = {
        "names": [what],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": number,
        "excludes": {"caps": ["CAP_SYS_PTRACE"]},
    }
    name = f"{ground.out}/profile.json"
    with open(name, "w") as file:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, file)
    return f"seccomp={name}"


def refused(engine: str) -> str:
    """A step that succeeds if tracing does not (engines have an exit status 125 of their own)."""
    return f"/tool/slimtrace run --engine {engine} -o /tmp/t -- {APP} 2>/out/said; test $? = 125"


def says(ground: Ground, message: str, hint: str) -> None:
    """Tracing was refused in two lines; of the hint, the beginning is compared."""
    with open(f"{ground.out}/said") as file:
        said = file.read().splitlines()
    assert said[0] == f"slimtrace: cannot trace: {message}"
    assert said[1].startswith(f"slimtrace: {hint}")
    assert len(said) == 2


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
def test_a_container_that_forbids_it(
    ground: Ground, what: Refused, number: int, engine: str, hint: str
) -> None:
    refusing = ("--security-opt", profile(ground, what, number))
    done = run_in(ground, *refusing, step=refused(engine))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    message = f"{what} is refused: {os.strerror(number)}"
    says(ground, message, f"allow {what}: {CONTAINER}{hint}")


@pytest.mark.parametrize("engine", ["auto", "notify", "ptrace"])
def test_a_container_that_forbids_to_read_memory(ground: Ground, engine: str) -> None:
    """It is said before the app starts."""
    refusing = ("--security-opt", profile(ground, "process_vm_readv", EPERM))
    assert run_in(ground, *refusing, step=refused(engine)).returncode == 0
    hint = f"allow process_vm_readv: {CONTAINER}{CAPABILITY}, or {PROFILE}"
    says(ground, "process_vm_readv is refused: Operation not permitted", hint)


@pytest.mark.parametrize(("what", "engine"), [("ptrace", "notify"), ("seccomp", "ptrace-syscall")])
def test_a_container_that_forbids_what_one_engine_needs(
    ground: Ground, what: Refused, engine: str
) -> None:
    """Another works there; it is said why, where it is slower."""
    refusing = ("--security-opt", profile(ground, what, EPERM))
    done = run_in(ground, *refusing)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    is_whole(ground.document(0), "/etc/hello", "0:0", engine)


def test_a_container_that_was_started_as_the_hint_says(ground: Ground) -> None:
    refusing = ("--security-opt", profile(ground, "ptrace", EPERM))
    done = run_in(ground, *refusing, "--cap-add", "SYS_PTRACE")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    is_whole(ground.document(0), "/etc/hello", "0:0")


def test_a_build_that_forbids_it(ground: Ground) -> None:
    refusing = ("--security-opt", profile(ground, "ptrace", EPERM))
    done = build_in(ground, "podman", f"RUN {refused('ptrace')}\n", *refusing)
    assert done.returncode == 0, done.stdout + done.stderr
    hint = f"allow ptrace: {BUILD}{CAPABILITY}, or {PROFILE}"
    says(ground, "ptrace is refused: Operation not permitted", hint)


def test_a_build_that_was_started_as_the_hint_says(ground: Ground) -> None:
    refusing = ("--security-opt", profile(ground, "ptrace", EPERM))
    done = build_in(ground, "podman", f"RUN {STEP}\n", *refusing, "--cap-add", "SYS_PTRACE")
    assert done.returncode == 0, done.stdout + done.stderr
    is_whole(ground.document(0), "/etc/hello", "0:0")


HINTS: dict[tuple[Refused, HostEnvironment, str | None], tuple[str, ...]] = {
    # Yama's strictest setting cannot be undone, wherever that is.
    ("ptrace", HostEnvironment.HOST, "3"): ("until the next boot", PTRACE_SCOPE),
    ("ptrace", HostEnvironment.CONTAINER, "3"): ("until the next boot", PTRACE_SCOPE),
    ("process_vm_readv", HostEnvironment.BUILD, "3"): ("until the next boot", PTRACE_SCOPE),
    ("seccomp", HostEnvironment.CONTAINER, "3"): (CONTAINER, PROFILE),
    # On a host, Yama's file, or why it is not that.
    ("ptrace", HostEnvironment.HOST, "2"): (f"set {PTRACE_SCOPE} to 1", "trace as root"),
    ("process_vm_readv", HostEnvironment.HOST, "2"): (f"set {PTRACE_SCOPE} to 1", "trace as root"),
    ("process_vm_readv", HostEnvironment.HOST, "1"): (f"set {PTRACE_SCOPE} to 0", "trace as root"),
    ("ptrace", HostEnvironment.HOST, "1"): ("seccomp filter", f"{PTRACE_SCOPE} does not: it is 1"),
    ("ptrace", HostEnvironment.HOST, "0"): ("seccomp filter", f"{PTRACE_SCOPE} does not: it is 0"),
    ("ptrace", HostEnvironment.HOST, None): ("a seccomp filter or a security module",),
    ("seccomp", HostEnvironment.HOST, "1"): ("a seccomp filter or a security module",),
    # In a container, how to start it.
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
    # In a build, how to start that.
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
    assert [words for words in answer if words not in hint] == []
    # Nothing that does not help: seccomp filters know no capability, hosts no options of engines.
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
def test_the_place(tmp_path: Path, tree: dict[str, str], expected: HostEnvironment) -> None:
    make_tree(str(tmp_path), tree)
    assert detect_environment(str(tmp_path)) is expected


def test_the_setting_of_yama(tmp_path: Path) -> None:
    assert read_ptrace_scope(str(tmp_path)) is None
    make_tree(str(tmp_path), {PTRACE_SCOPE.lstrip("/"): "2\n"})
    assert read_ptrace_scope(str(tmp_path)) == "2"
