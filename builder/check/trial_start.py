"""Has the image started as often as the rules need, each time in another way."""

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
"""As OpenShift gives them: a high number in root's group (said)."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """What the user says of starts, in the words of ``run``."""

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    ready: str | None = None
    ready_timeout: float = 60.0


def measure_starts(
    image: FullImage,
    facts: ImageFacts,
    wanted: Collection[StartMode],
    platforms: Collection[TargetPlatform],
    how: StartOptions,
    start: StartImage,
) -> ImageFacts:
    """The facts, with how the image started in each of the wanted ways.

    Where it does not start as usual, it is not started in other ways.

    :raises SlimtraceError: it cannot be tried here.
    """
    port = (
        _choose_port(how)
        if any(PLATFORM_TRAITS[platform].sets_port for platform in platforms)
        else None
    )
    found: dict[StartMode, TrialResult] = {}
    for way, trial in _plan_trials(facts, platforms, how, port):
        if way in wanted:
            say(f"starting {facts.image}: {way}")
            found[way] = start(image, trial)
            if way is StartMode.USUAL and found[way].failure is not None:
                break
    return replace(facts, starts=found, port=port)


def _plan_trials(
    facts: ImageFacts, platforms: Collection[TargetPlatform], how: StartOptions, port: int | None
) -> Iterator[tuple[StartMode, Trial]]:
    usual = Trial(
        facts.asked.words,
        how.env,
        how.volumes,
        port=port,
        ready=how.ready,
        ready_timeout=how.ready_timeout,
    )
    grace = max(grace_seconds(platform, facts.asked.grace) for platform in platforms)
    # What speaks something else than HTTP would take offence.
    path = None if port is None else _probe_path(how.ready)
    yield StartMode.USUAL, replace(usual, path=path, grace=grace)
    yield StartMode.READ_ONLY, replace(usual, read_only=True)
    user = _NOT_ROOT if facts.user.uid in {0, None} else None
    yield StartMode.UNPRIVILEGED, replace(usual, user=user, cap_drop=("all",))
    yield StartMode.ANY_USER, replace(usual, user=_ANY_USER)


def _probe_path(ready: str | None) -> str:
    parts = urlsplit(ready or "")
    if not parts.scheme.startswith("http"):
        return "/"
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _choose_port(how: StartOptions) -> int:
    """What PORT is to be: what the user says, or one that is free now."""
    given = [word.removeprefix("PORT=") for word in how.env if word.startswith("PORT=")]
    if given and given[-1].isdecimal():
        return int(given[-1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
