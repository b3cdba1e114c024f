"""Whether the image holds what its healthcheck runs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer.environment import DEFAULT_PATH

if TYPE_CHECKING:
    from slimtrace.builder.model import ImageConfig, Selection
    from slimtrace.builder.root.root import Root

_SHELL = "/bin/sh"


def warn_of_healthcheck(selection: Selection, root: Root, config: ImageConfig) -> Selection:
    """The selection with a warning where its healthcheck's program is not in it."""
    words = parse_healthcheck(config.healthcheck)
    env = dict(word.split("=", 1) for word in config.env)
    if not words or _holds(selection, root, words[0], env.get("PATH", DEFAULT_PATH)):
        return selection
    warning = (
        f"the healthcheck runs {words[0]}, which is not in the image: trace it, as in slimtrace "
        f"run --exec-in {shlex.quote(shlex.join(words))}; or build with --no-healthcheck"
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def parse_healthcheck(healthcheck: object) -> tuple[str, ...]:
    """What a Healthcheck runs; nothing where it says nothing.

    ``Test`` is ``["CMD", PROGRAM, …]`` or ``["CMD-SHELL", COMMAND]`` (moby image/spec v1.3).
    """
    words = healthcheck.get("Test") if isinstance(healthcheck, dict) else None
    if not isinstance(words, list) or len(words) < 2 or not all(isinstance(w, str) for w in words):
        return ()
    return tuple(words[1:]) if words[0] == "CMD" else (_SHELL, "-c", words[1])


def _holds(selection: Selection, root: Root, program: str, path: str) -> bool:
    folders = [""] if "/" in program else path.split(":")
    names = (f"{folder}/{program}" if folder else program for folder in folders)
    return any(root.resolve(name).path in selection.entries for name in names)
