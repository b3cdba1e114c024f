"""Builds on this machine what the Dockerfile of a sample adds to its base.

A container build would need an image for each compiler. The Dockerfile's commands run here, in a
folder that takes the place of the root, and so they use relative paths.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from dockerfile import select_app_commands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dockerfile import Stage


class BuildError(Exception):
    """A command of a Dockerfile failed."""


def build_tree(stages: Sequence[Stage], context: Path, folder: Path, caches: Path) -> Path:
    """Build the tree that the last stage adds to its base.

    :param context: the folder that COPY copies from.
    :param folder: an empty folder for the trees.
    :param caches: the folder for the caches of compilers and package managers.
    :raises BuildError: a command failed.
    """
    trees: dict[str, Path] = {}
    tree = folder
    for number, stage in enumerate(stages):
        tree = folder / str(number)
        tree.mkdir()
        if stage.name is not None:
            trees[stage.name] = tree
        _build_stage(stage, tree, {"": context, **trees}, caches)
    return tree


def _build_stage(stage: Stage, tree: Path, sources: Mapping[str, Path], caches: Path) -> None:
    workdir = tree
    for instruction, text in stage.steps:
        if instruction == "WORKDIR":
            workdir = tree / text.lstrip("/")
            workdir.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            _copy(text, workdir, tree, sources)
        elif instruction == "RUN" and (command := select_app_commands(text)):
            _run(command, workdir, {**stage.env, **_make_cache_variables(caches)})


def _copy(text: str, workdir: Path, tree: Path, sources: Mapping[str, Path]) -> None:
    """Copy the contents of a folder, or a file, as COPY does."""
    option, arguments = re.match(r"(--from=\S+ )?(.*)", text).groups()  # type: ignore[union-attr]
    *paths, name = shlex.split(arguments)
    origin = sources[(option or "").removeprefix("--from=").strip()]
    target = tree / name.lstrip("/") if name.startswith("/") else workdir / name
    for path in paths:
        source = origin / path.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            into = target / source.name if name.endswith(("/", ".")) else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, into)


def _run(command: str, workdir: Path, env: Mapping[str, str]) -> None:
    argv = ["sh", "-ec", command]
    env = {**os.environ, **env}
    done = subprocess.run(argv, check=False, cwd=workdir, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{command}: exit status {done.returncode}\n{done.stderr}")


def _make_cache_variables(folder: Path) -> dict[str, str]:
    return {"GOCACHE": str(folder / "go"), "npm_config_cache": str(folder / "npm")}
