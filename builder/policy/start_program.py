"""Checks that the image contains the program that it starts."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer.caution import Caution
from slimtrace.tracer.environment import DEFAULT_PATH

if TYPE_CHECKING:
    from slimtrace.builder.model import ImageConfig, Selection
    from slimtrace.builder.root.root import Root


def warn_of_start(selection: Selection, root: Root, config: ImageConfig) -> Selection:
    """Add a warning if the image cannot start: its program is missing, or it has none."""
    argv = (*config.entrypoint, *config.cmd)
    if not argv or not argv[0]:
        fact = "the image starts nothing: its Entrypoint and Cmd are empty"
        warning = Caution(fact, "name a program with --entrypoint or --cmd")
    elif has_program(selection, root, config, argv[0]):
        return selection
    else:
        warning = Caution(
            f"the image cannot start: its program {argv[0]} is not in it",
            "name one that a run used, or keep it with --include",
        )
    return replace(selection, warnings=(*selection.warnings, warning))


def has_program(selection: Selection, root: Root, config: ImageConfig, program: str) -> bool:
    """Whether the image contains a program, looked up as an engine does it."""
    env = dict(pair.split("=", 1) for pair in config.env)
    if "/" in program:
        names = [os.path.join(config.working_dir, program)]
    else:
        folders = env.get("PATH", DEFAULT_PATH).split(":")
        names = [f"{folder}/{program}" for folder in folders if folder]
    return any(root.resolve(name).path in selection.entries for name in names)
