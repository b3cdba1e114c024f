"""The commands that run an image, and ``build``, in default containers and in steps of a build.

Each place gets the same script; what it says of the sandbox is what that place lacks.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from typing import TYPE_CHECKING, get_args

import pytest
from container_root import ContainerRoot, make_container_root
from engine import Builder, build_image, podman_run
from requirements import need_root
from small_images import slimtrace_in, small_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker_daemon import DockerDaemon

USER = 1000
COMMANDS = ("run", "build", "verify", "check", "slim")
APP = 'cat /srv/a; echo x >/work/x; trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'
DRIVE = "--ready log:up --stop-after 0 --image oci:/out/full"
SCRIPT = f"""
export HOME=/tmp/home-$(id -u) && mkdir $HOME && cd $HOME || exit 9
do_() {{
    /tool/slimtrace "$@" </dev/null >>/out/$(id -u).log 2>&1
    echo $1 $? >>/out/$(id -u).done
}}
do_ run -o app.trace {DRIVE}
[ -e app.trace ] || cp /out/app.trace .
do_ build app.trace --image oci:/out/full -o app.tar
do_ verify app.tar --trace app.trace --image oci:/out/full
do_ check app.tar --ready log:up
do_ slim -o slim.tar --trace slim.trace {DRIVE}
"""
PODMAN = "/proc also shows processes outside"
CHROOT = "running in a copy of the image by chroot"
DOCKER_FLAG = "start the container with --security-opt seccomp=unconfined"
BUILD_FLAG = "build with buildah --isolation oci"


@pytest.fixture
def root(tmp_path: Path) -> ContainerRoot:
    """A container's root, and in /out a full image, and a trace of it from this machine."""
    need_root()  # the owners in it are those of an image
    found = make_container_root(tmp_path)
    small_image(tmp_path, {"srv/a": "a\n"}, "cmd=sh", "cmd=-c", f"cmd={APP}")
    os.rename(tmp_path / "full", f"{found.out}/full")
    arguments = ("-q", "run", "-o", f"{found.out}/app.trace", "--ready", "log:up")
    done = slimtrace_in(
        tmp_path, *arguments, "--stop-after", "0", "--image", f"oci:{found.out}/full"
    )
    assert done.returncode == 0, done.stderr
    subprocess.run(["chmod", "-R", "a+rX", found.out], check=True)
    return found


def read_results(root: ContainerRoot, user: int) -> tuple[dict[str, int], str]:
    """Return the exit statuses of the commands, and all that they printed."""
    with open(f"{root.out}/{user}.log") as file:
        printed = file.read()
    with open(f"{root.out}/{user}.done") as file:
        statuses = dict(line.split() for line in file)
    assert "Traceback" not in printed
    return {name: int(status) for name, status in statuses.items()}, printed


def check_all_work(root: ContainerRoot, user: int, said: str) -> None:
    statuses, printed = read_results(root, user)
    assert statuses == dict.fromkeys(COMMANDS, 0), printed
    assert said in printed
    assert printed.count("nothing is missing, all went as traced") == 2
    assert ("skip  starts-read-only" in printed) == (said == CHROOT)
    assert "pass  starts-unprivileged" in printed


def check_only_build_works(root: ContainerRoot, user: int, flag: str) -> None:
    """The others fail with one line, and the flag that gives more."""
    statuses, printed = read_results(root, user)
    assert statuses == {**dict.fromkeys(COMMANDS, 125), "build": 0}, printed
    assert printed.count("cannot become root for the image: namespaces") == len(COMMANDS) - 1
    assert printed.count(flag) == len(COMMANDS) - 1


@pytest.mark.parametrize("user", [0, USER])
def test_in_podman(root: ContainerRoot, user: int) -> None:
    options = (*root.volumes, "--user", f"{user}:{user}", "--rootfs", root.root)
    done = podman_run(*options, "/usr/bin/sh", "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    check_all_work(root, user, PODMAN)


@pytest.fixture
def docker_image(root: ContainerRoot, docker_daemon: DockerDaemon) -> Iterator[str]:
    archive = f"{root.root}.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root.root, ".")
    done = docker_daemon.docker("import", archive)
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip()
    docker_daemon.docker("rmi", "--force", done.stdout.strip())


@pytest.mark.parametrize("user", [0, USER])
def test_in_docker(
    root: ContainerRoot, docker_daemon: DockerDaemon, docker_image: str, user: int
) -> None:
    options = (*root.volumes, "--user", f"{user}:{user}", docker_image)
    done = docker_daemon.run(*options, "/usr/bin/sh", "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    if user == 0:
        check_all_work(root, user, CHROOT)
    else:
        check_only_build_works(root, user, DOCKER_FLAG)


def test_in_docker_with_the_flag(
    root: ContainerRoot, docker_daemon: DockerDaemon, docker_image: str
) -> None:
    flag = DOCKER_FLAG.partition("with ")[2].split()
    options = (*root.volumes, *flag, "--user", f"{USER}:{USER}", docker_image)
    done = docker_daemon.run(*options, "/usr/bin/sh", "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    check_all_work(root, USER, PODMAN)


@pytest.mark.parametrize("builder", get_args(Builder))
def test_in_a_step_of_a_build(root: ContainerRoot, builder: Builder) -> None:
    context = os.path.dirname(root.root)
    with open(f"{root.root}/commands", "w") as file:
        file.write(SCRIPT)
    with open(f"{context}/Dockerfile", "w") as file:
        file.write("FROM scratch\nCOPY root/ /\nRUN sh /commands\n")
        if builder == "buildah chroot":
            file.write(f"USER {USER}\nRUN sh /commands\n")
    done = build_image(builder, context, *root.volumes)
    assert done.returncode == 0, done.stdout + done.stderr
    check_all_work(root, 0, CHROOT if builder == "buildah chroot" else PODMAN)
    if builder == "buildah chroot":
        check_only_build_works(root, USER, BUILD_FLAG)
