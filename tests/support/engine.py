"""Real containers and image builds: podman and buildah, with the flags that this machine needs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from typing import Literal

import containers
from commands import SampleError
from containers import FLAGS, Flags
from requirements import need, skip_missing

Builder = Literal["podman", "buildah", "buildah chroot"]


def need_engine() -> None:
    """Skip the test unless podman can run containers."""
    need("podman")
    _working_flags()


def podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman ARGUMENTS`` and wait for its end."""
    need("podman")
    return containers.podman(*arguments)


def podman_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman run --rm ARGUMENTS``; skip the test if podman cannot run containers."""
    need_engine()
    return containers.run_container(_working_flags(), *arguments)


def build_image(builder: Builder, context: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Build the Dockerfile in a folder without a layer cache, then remove the image.

    Skips the test if the builder cannot run a RUN step.

    :param builder: the program, and its isolation if that is not the default.
    """
    return _build(builder, _working_build_flags(builder), context, *options)


def build_archive(context: str, archive: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Build the Dockerfile in a folder by buildah in chroot isolation, and write ``archive``."""
    flags = _working_build_flags("buildah chroot")
    return _build("buildah chroot", flags, context, *options, archive=archive)


def compile_static(folder: str, source: str, name: str = "program") -> str:
    """Compile a static program from C source; return its path."""
    need("gcc")
    return containers.compile_static(folder, source, name)


@cache
def _working_flags() -> Flags:
    _need_subordinate_uids()
    need("gcc")
    try:
        return containers.find_working_flags()
    except SampleError as error:
        skip_missing(str(error))


@cache
def _working_build_flags(builder: Builder) -> Flags:
    need(builder.split()[0])
    _need_subordinate_uids()
    errors = ""
    for flags in FLAGS:
        with tempfile.TemporaryDirectory() as context:
            compile_static(context, "int main(void) { return 0; }")
            with open(os.path.join(context, "Dockerfile"), "w") as file:
                file.write('FROM scratch\nCOPY program /\nRUN ["/program"]\n')
            done = _build(builder, flags, context)
        if done.returncode == 0:
            return flags
        errors = done.stderr.strip().rpartition("\n")[2]
    return skip_missing(f"a {builder} that can run a step of a build ({errors})")


@cache
def _need_subordinate_uids() -> None:
    if os.geteuid() == 0:
        return
    need("podman")
    own = podman("unshare", "cat", "/proc/self/uid_map")
    if sum(int(line.split()[2]) for line in own.stdout.splitlines()) < 65536:
        skip_missing("subordinate uids, which rootless podman needs to load images")


def _build(
    builder: Builder, flags: Flags, context: str, *options: str, archive: str | None = None
) -> subprocess.CompletedProcess[str]:
    program, *isolation = builder.split()
    if program == "podman":
        argv = ["podman", *flags.runtime, "build"]
    else:
        argv = ["buildah", "bud", *flags.runtime]
    if isolation:
        argv += ["--isolation", *isolation]
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "image")
        argv += [*flags.limits, "--layers=false", "--iidfile", name, *options, context]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if os.path.exists(name):
            with open(name) as file:
                image = file.read().strip()
            if archive is not None:
                push = ["buildah", "push", "-q", image, f"docker-archive:{archive}"]
                subprocess.run(push, check=True, capture_output=True)
            subprocess.run([program, "rmi", "-f", image], check=False, capture_output=True)
    return done
