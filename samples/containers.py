"""Real containers: podman, with the flags that it needs where it runs."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from fullimage import SampleError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 300.0
"""Nothing here takes nearly as long, not even an image of 500 MB that is loaded."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What engines are told beside the words of a command.

    :ivar runtime: given to the engine itself where that is podman.
    :ivar limits: given to its command.
    """

    runtime: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


# Where RLIMITs are capped and cgroups are hybrid, crun and a network of its own fail.
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
def working_flags() -> Flags:
    """The first flags under which a program runs in podman.

    :raises SampleError: there are none; the cause is podman's last word.
    """
    said = ""
    for flags in FLAGS:
        with tempfile.TemporaryDirectory() as root:
            compile_static(root, "int main(void) { return 42; }")
            done = run_in(flags, "--rootfs", root, "/program")
        if done.returncode == 42:
            return flags
        said = done.stderr.strip().rpartition("\n")[2]
    raise SampleError(f"cannot run containers by podman: {said}")


def run_in(flags: Flags, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman run --rm WORDS`` to its end.

    :raises SampleError: there is no podman.
    """
    return podman(*flags.runtime, "run", "--rm", *flags.limits, *words)


def podman(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman WORDS`` to its end.

    :raises SampleError: there is no podman.
    """
    try:
        return subprocess.run(
            ["podman", *words], check=False, capture_output=True, text=True, timeout=SECONDS
        )
    except FileNotFoundError as error:
        raise SampleError("cannot run podman: it is not installed") from error


def compile_static(folder: str, source: str, name: str = "program") -> str:
    """A static program from C source; its path.

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
def loaded(image: str) -> Iterator[str]:
    """The name of ``oci:DIR:TAG`` in podman's storage, where it is until the block ends.

    :raises SampleError: it cannot be loaded.
    """
    name = f"localhost/slimtrace-sample:{uuid.uuid4().hex}"
    words = ["skopeo", "copy", "-q", image, f"containers-storage:{name}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise SampleError(f"cannot load {image}: {done.stderr.strip()}")
    try:
        yield name
    finally:
        podman("rmi", "--force", name)
