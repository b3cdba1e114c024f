"""Parses values of options and arguments.

Typer's own checks have other words in each version, and the newest does not repeat the value. The
message of each error here continues ``cannot use --option``.
"""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, TypeVar

import typer

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

_ChoiceT = TypeVar("_ChoiceT", bound="StrEnum")


def parse_seconds(text: str | float) -> float:
    """Seconds from an option's value, or from its default.

    :raises typer.BadParameter: it is not a number, or negative.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise typer.BadParameter(f"{text}: it is not a number of seconds")
    return seconds


def parse_number(text: str | float) -> float:
    """A number, which may be infinite or NaN.

    :raises typer.BadParameter: it is none.
    """
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: it is not a number") from error


def parse_count(text: str | int) -> int:
    """A whole number from 1.

    :raises typer.BadParameter: it is none.
    """
    number = str(text)
    if not (number.isascii() and number.isdecimal() and len(number) < 10 and int(number) > 0):
        raise typer.BadParameter(f"{text}: it is not a number from 1")
    return int(number)


def parse_depth(text: str | int) -> int:
    """A whole number from 0.

    :raises typer.BadParameter: it is none.
    """
    number = str(text)
    if not (number.isascii() and number.isdecimal() and len(number) < 4):
        raise typer.BadParameter(f"{text}: it is not a number from 0 to 999")
    return int(number)


def make_choice_parser(choices: type[_ChoiceT]) -> Callable[[str], _ChoiceT]:
    """A function that parses one of these choices."""

    def parse_choice(text: str) -> _ChoiceT:
        if text not in {*choices}:
            raise typer.BadParameter(f"{text}: choose {' or '.join(choices)}")
        return choices(text)

    return parse_choice


def parse_signal(text: str) -> signal.Signals:
    """A signal by name, with or without SIG, or by number.

    :raises UsageError: there is no such signal.
    """
    try:
        if text.isdigit():
            return signal.Signals(int(text))
        name = text.upper()
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"cannot use --stop-signal {text}: there is no such signal",
            "as in --stop-signal SIGINT",
        ) from error
