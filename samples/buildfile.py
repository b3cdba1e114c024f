"""What the Dockerfile of a sample puts above its base, made on this machine.

A container build would want an image of each compiler. The commands are the Dockerfile's own: they
run here, in a folder that stands for the root, and so name relative paths.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from dockerfile import building

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dockerfile import Stage


class BuildError(Exception):
    """A command of a Dockerfile did not succeed."""


def build(stages: Sequence[Stage], context: Path, folder: Path, caches: Path) -> Path:
    """The tree that the last stage adds to its base.

    :param context: where COPY finds files; ``folder``, an empty one, is for the trees.
    :param caches: where compilers and package managers keep theirs, for the next build.
    :raises BuildError: a command failed.
    """
    trees: dict[str, Path] = {}
    tree = folder
    for number, stage in enumerate(stages):
        tree = folder / str(number)
        tree.mkdir()
        if stage.name is not None:
            trees[stage.name] = tree
        _stage(stage, tree, {"": context, **trees}, caches)
    return tree


def _stage(stage: Stage, tree: Path, sources: Mapping[str, Path], caches: Path) -> None:
    here = tree
    for instruction, text in stage.steps:
        if instruction == "WORKDIR":
            here = tree / text.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            _copy(text, here, tree, sources)
        elif instruction == "RUN" and (command := building(text)):
            _run(command, here, {**stage.env, **_caches(caches)})


def _copy(text: str, here: Path, tree: Path, sources: Mapping[str, Path]) -> None:
    """A folder is copied as what it holds, and so is a file to a name without a slash (COPY)."""
    options, *words = re.match(r"(--from=\S+ )?(.*)", text).groups()  # type: ignore[union-attr]
    *wanted, name = shlex.split(words[0])
    origin = sources[(options or "").removeprefix("--from=").strip()]
    target = tree / name.lstrip("/") if name.startswith("/") else here / name
    for word in wanted:
        source = origin / word.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            into = target / source.name if name.endswith(("/", ".")) else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, into)


def _run(command: str, here: Path, env: Mapping[str, str]) -> None:
    words = ["sh", "-ec", command]
    env = {**os.environ, **env}
    done = subprocess.run(words, check=False, cwd=here, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{command}: exit status {done.returncode}\n{done.stderr}")


def _caches(folder: Path) -> dict[str, str]:
    return {"GOCACHE": str(folder / "go"), "npm_config_cache": str(folder / "npm")}
