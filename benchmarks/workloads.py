"""The loads: makes the command of each, and what it needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from figures import START
from rounds import HERE, WORK, call, compile_c, say

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PACKAGES = ("flask", "numpy", "pandas", "requests", "sqlalchemy")
LIGHT = (
    "asyncio",
    "ctypes",
    "email.mime.text",
    "http.server",
    "sqlite3",
    "unittest",
    "xmlrpc.client",
)
SPEED = ("stats", "import", "forks", "reads", "parallel", START)
TASKS = 2  # of the load parallel
GROWTH = ("same", "distinct", "missing")
FEW, MANY = 10_000, 1_000_000
FILES = 1000  # in the folder of all paths of the growth loads
_QUICK_DIVISOR = 100  # --quick does a hundredth of the work


def make_speed_commands(
    names: Collection[str], scratch: Path, *, light: bool, quick: bool
) -> dict[str, list[str]]:
    """Make the commands of the loads of ``overhead``."""
    divisor = _QUICK_DIVISOR if quick else 1
    commands = {}
    files = scratch / "files"
    if {"stats", "parallel"} & {*names}:
        files.mkdir()
        for number in range(500):
            (files / str(number)).touch()
    stats, every = compile_c(HERE / "loads" / "stats.c"), 100_000 // divisor
    if "stats" in names:
        commands["stats"] = [stats, str(every), str(files)]
    if "import" in names:
        commands["import"] = make_import_command(light=light)
    if "forks" in names:
        commands["forks"] = [
            compile_c(HERE / "loads" / "forks.c"),
            str(1000 // divisor),
            "/bin/true",
        ]
    if "reads" in names:
        commands["reads"] = [compile_c(HERE / "loads" / "reads.c"), str(10_000_000 // divisor)]
    if "parallel" in names:
        parallel = compile_c(HERE / "loads" / "parallel.c")
        commands["parallel"] = [parallel, str(TASKS), stats, str(every // TASKS), str(files)]
    commands[START] = ["/bin/true"]
    return commands


def make_import_command(*, light: bool) -> list[str]:
    python, modules = (sys.executable, LIGHT) if light else (install_packages(), PACKAGES)
    return [python, "-c", f"import {', '.join(modules)}"]


def make_growth_command(name: str, stops: int, root: Path) -> list[str]:
    """Make the command of a growth load: over a hundred paths, or over as many paths as stops.

    A million files would take minutes to make and would fill the kernel's caches. Many symlinks to
    one folder give as many paths, and a tracer cannot know that these are the same files.
    """
    real = root / "real"
    if not real.exists():
        real.mkdir(parents=True)
        for number in range(FILES):
            (real / str(number)).touch()
        for number in range(MANY // FILES):
            (root / str(number)).symlink_to("real")
    folders, files = (10, 10) if name == "same" else (stops // FILES, FILES)
    there = "missing" if name == "missing" else "there"
    paths = compile_c(HERE / "loads" / "paths.c")
    return [paths, there, str(stops), str(folders), str(files), str(root)]


def install_packages() -> str:
    """Make a virtual environment with the packages, once; returns the path of its Python."""
    venv = WORK / "venv"
    done = venv / "packages"
    if not done.exists() or done.read_text().split() != list(PACKAGES):
        say(f"installing {', '.join(PACKAGES)} in {os.path.relpath(venv)}")
        call([sys.executable, "-m", "venv", "--clear", str(venv)])
        call([str(venv / "bin" / "pip"), "install", "-qq", *PACKAGES])
        done.write_text("\n".join(PACKAGES))
    return str(venv / "bin" / "python")
