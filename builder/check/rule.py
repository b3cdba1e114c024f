"""The words of a check: rules, what they find, and how bad that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.check.platforms import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slimtrace.builder.check.facts import Facts


class Level(StrEnum):
    """What it means where a rule is broken."""

    WARN = "warn"
    FAIL = "fail"


class Start(StrEnum):
    """The starts of an image that measured rules need."""

    USUAL = "usual"
    """As the platform would, and stopped by its signal."""
    READ_ONLY = "read-only"
    """With a root that cannot be written."""
    UNPRIVILEGED = "unprivileged"
    """Without any capability, and not as root."""
    ANY_USER = "any-user"
    """As a user that no file knows, of root's group."""


class Verdict(NamedTuple):
    """What one rule found.

    :ivar holds: None where the rule does not apply, or could not be looked at.
    :ivar detail: what was found, in words.
    :ivar paths: the files that break it.
    :ivar lines: the app's last ones.
    """

    holds: bool | None
    detail: str
    paths: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def holds(detail: str) -> Verdict:
    """It is as it should be."""
    return Verdict(True, detail)


def breaks(detail: str, paths: tuple[str, ...] = (), lines: tuple[str, ...] = ()) -> Verdict:
    """It is not."""
    return Verdict(False, detail, paths, lines)


def skipped(why: str) -> Verdict:
    """There is nothing to say."""
    return Verdict(None, why)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that platforms expect of an image.

    :ivar levels: where it counts, and how much.
    :ivar proves: what holds where it passes, in a sentence.
    :ivar remedy: what to do where it does not.
    :ivar start: the start that it is measured in; None where it is read from the image.
    """

    name: str
    levels: Mapping[Platform, Level]
    proves: str
    remedy: str
    check: Callable[[Facts, Platform], Verdict]
    start: Start | None = None


def only(level: Level, *platforms: Platform) -> dict[Platform, Level]:
    """On these platforms alone."""
    return dict.fromkeys(platforms, level)


def everywhere(level: Level, **others: Level) -> dict[Platform, Level]:
    """On all platforms, but on some at another level: ``cloud_run=Level.FAIL``."""
    named = {Platform(name.replace("_", "-")): other for name, other in others.items()}
    return {**dict.fromkeys(Platform, level), **named}
