"""The root of a container with slimtrace and the host's programs, for any engine."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repository import ROOT as HERE
from traces import allow_all_users

if TYPE_CHECKING:
    from pathlib import Path

# The directories that slimtrace needs to run; other users may not reach the interpreter's home.
DIRECTORIES = {
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


@dataclass(frozen=True)
class ContainerRoot:
    """A container's root: slimtrace, a file to read, and the host's programs.

    :ivar root: the root's path.
    :ivar out: the folder that containers have as /out.
    """

    root: str
    out: str

    @property
    def volumes(self) -> list[str]:
        """Return options of ``run`` and ``build`` that mount the other directories."""
        mounts = {f"/tool/{name}": source for name, source in DIRECTORIES.items()}
        for name in ("usr", "bin", "lib", "lib64"):
            if not os.path.islink(f"/{name}") and os.path.isdir(f"/{name}"):
                mounts[f"/{name}"] = f"/{name}"
        read_only = [each for at, source in mounts.items() for each in ("-v", f"{source}:{at}:ro")]
        # SELinux denies a container access to mounts without the container's label.
        return ["--security-opt", "label=disable", *read_only, "-v", f"{self.out}:/out"]

    def document(self, user: int) -> dict[str, Any]:
        """Return the output of ``show --json`` in the container."""
        with open(f"{self.out}/{user}.json") as file:
            shown: dict[str, Any] = json.load(file)
        return shown

    def status(self, user: int) -> dict[str, str]:
        """Return /proc/self/status in the container."""
        with open(f"{self.out}/{user}.status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def make_container_root(tmp_path: Path) -> ContainerRoot:
    """Make a root in a folder."""
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
    return ContainerRoot(str(root), str(out))


def place_tools(root: Path, top: str) -> None:
    """Make /tool with mount points for the parts, and a program that starts slimtrace from them.

    :param top: the root's path when the program runs.
    """
    for name in DIRECTORIES:
        (root / "tool" / name).mkdir(parents=True)
    program = root / "tool" / "slimtrace"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program.write_text(SLIMTRACE.format(top=top, python=version))
    program.chmod(0o755)
