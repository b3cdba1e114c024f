"""Runs real containers by podman, with the flags that it needs on this machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from commands import SampleError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 600.0
"""Much longer than any command here takes; to load an image of 500 MB takes longest."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Options for an engine.

    :ivar runtime: options of podman itself.
    :ivar limits: options of its command.
    """

    runtime: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


# With capped RLIMITs and hybrid cgroups, crun and a network namespace fail.
FLAGS = (
    Flags(),
    Flags(
        ("--runtime", "runc"),
        (
            *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
            *("--network", "host"),
        ),
    ),
)


@cache
def find_working_flags() -> Flags:
    """Find the first flags with which podman can run a program.

    :raises SampleError: there are none; the cause is the last line of podman's errors.
    """
    cause = ""
    for flags in FLAGS:
        with tempfile.TemporaryDirectory() as root:
            compile_static(root, "int main(void) { return 42; }")
            done = run_container(flags, "--rootfs", root, "/program")
        if done.returncode == 42:
            return flags
        cause = done.stderr.strip().rpartition("\n")[2]
    raise SampleError(f"cannot run containers by podman: {cause}")


def run_container(flags: Flags, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman run --rm ARGV`` to its end.

    :raises SampleError: podman is not installed.
    """
    return podman(*flags.runtime, "run", "--rm", *flags.limits, *argv)


def podman(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman ARGV`` to its end.

    :raises SampleError: podman is not installed.
    """
    try:
        return subprocess.run(
            ["podman", *argv], check=False, capture_output=True, text=True, timeout=SECONDS
        )
    except FileNotFoundError as error:
        raise SampleError("cannot run podman: it is not installed") from error


def compile_static(folder: str, source: str, name: str = "program") -> str:
    """Compile a static program from C source; returns its path.

    :raises SampleError: it cannot be compiled.
    """
    path = os.path.join(folder, name)
    with open(f"{path}.c", "w") as file:
        file.write(source)
    try:
        subprocess.run(["gcc", "-static", "-O1", "-o", path, f"{path}.c"], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise SampleError(f"cannot compile a program: {error}") from error
    os.unlink(f"{path}.c")
    return path


@contextmanager
def load_image(image: str) -> Iterator[str]:
    """Load ``oci:DIR:TAG`` into podman's storage until the block ends; yields its name there.

    :raises SampleError: it cannot be loaded.
    """
    name = f"localhost/slimtrace-sample:{uuid.uuid4().hex}"
    argv = ["skopeo", "copy", "-q", image, f"containers-storage:{name}"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise SampleError(f"cannot load {image}: {done.stderr.strip()}")
    try:
        yield name
    finally:
        podman("rmi", "--force", name)
