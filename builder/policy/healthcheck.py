"""Checks that the image contains the program that its health check runs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.policy.start_program import has_program
from slimtrace.tracer.caution import Caution

if TYPE_CHECKING:
    from slimtrace.builder.model import ImageConfig, Selection
    from slimtrace.builder.root.root import Root

_SHELL = "/bin/sh"


def warn_of_healthcheck(selection: Selection, root: Root, config: ImageConfig) -> Selection:
    """Add a warning if the program of the health check is not in the selection."""
    argv = parse_healthcheck(config.healthcheck)
    if not argv or has_program(selection, root, config, argv[0]):
        return selection
    warning = Caution(
        f"the healthcheck runs {argv[0]}, which is not in the image",
        f"trace it, as in slimtrace run --exec-in {shlex.quote(shlex.join(argv))}; or build with "
        "--no-healthcheck",
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def parse_healthcheck(healthcheck: object) -> tuple[str, ...]:
    """Read the arguments that a Healthcheck runs; empty if it runs nothing.

    ``Test`` is ``["CMD", PROGRAM, …]`` or ``["CMD-SHELL", COMMAND]`` (moby image/spec v1.3).
    """
    test = healthcheck.get("Test") if isinstance(healthcheck, dict) else None
    if not isinstance(test, list) or len(test) < 2 or not all(isinstance(t, str) for t in test):
        return ()
    return tuple(test[1:]) if test[0] == "CMD" else (_SHELL, "-c", test[1])
