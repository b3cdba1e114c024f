"""Starts the image once in each way that the rules need."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slimtrace.builder.check.inspection import StartMode, grace_seconds
from slimtrace.builder.check.target_platform import PLATFORM_TRAITS
from slimtrace.tracer.console import say
from slimtrace.tracer.startup.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.builder.check.target_platform import TargetPlatform
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.services import StartImage
    from slimtrace.tracer.startup.trial import TrialResult


_NOT_ROOT = "65532:65532"
_ANY_USER = "1000650000:0"
"""As OpenShift assigns them: a high UID in group 0."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """The user's options for starts, with the same syntax as those of ``run``."""

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    ready: str | None = None
    ready_timeout: float = 60.0


def measure_starts(
    image: FullImage,
    facts: ImageFacts,
    modes: Collection[StartMode],
    platforms: Collection[TargetPlatform],
    options: StartOptions,
    start: StartImage,
) -> ImageFacts:
    """Start the image in each of these modes, and add the results to the facts.

    If the usual start fails, the others are not tried.

    :raises SlimtraceError: the image cannot be started on this machine.
    """
    sets_port = any(PLATFORM_TRAITS[platform].sets_port for platform in platforms)
    port = _choose_port(options) if sets_port else None
    results: dict[StartMode, TrialResult] = {}
    for mode, trial in _plan_trials(facts, platforms, options, port):
        if mode in modes:
            say(f"starting {facts.image}: {mode}")
            results[mode] = start(image, trial)
            if mode is StartMode.USUAL and results[mode].failure is not None:
                break
    return replace(facts, starts=results, port=port)


def _plan_trials(
    facts: ImageFacts,
    platforms: Collection[TargetPlatform],
    options: StartOptions,
    port: int | None,
) -> Iterator[tuple[StartMode, Trial]]:
    usual = Trial(
        facts.request.args,
        options.env,
        options.volumes,
        port=port,
        ready=options.ready,
        ready_timeout=options.ready_timeout,
    )
    grace = max(grace_seconds(platform, facts.request.grace) for platform in platforms)
    # Without PORT the service may speak another protocol than HTTP, and fail on a request.
    path = None if port is None else _probe_path(options.ready)
    yield StartMode.USUAL, replace(usual, request_path=path, grace=grace)
    yield StartMode.READ_ONLY, replace(usual, read_only=True)
    user = _NOT_ROOT if facts.user.uid in {0, None} else None
    yield StartMode.UNPRIVILEGED, replace(usual, user=user, cap_drop=("all",))
    yield StartMode.ANY_USER, replace(usual, user=_ANY_USER)


def _probe_path(ready: str | None) -> str:
    parts = urlsplit(ready or "")
    if not parts.scheme.startswith("http"):
        return "/"
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _choose_port(options: StartOptions) -> int:
    """The value of PORT: the user's, or a port that is free now."""
    values = [each.removeprefix("PORT=") for each in options.env if each.startswith("PORT=")]
    if values and values[-1].isdecimal():
        return int(values[-1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
