"""Parses the values of options that typer does not know."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import orjson
from typer.core import TyperCommand

from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class SbomCommand(TyperCommand):
    """A command whose option ``--sbom`` takes two values. typer has no type for lists of pairs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:
            if parameter.name == "sbom":
                parameter.nargs = 2


def parse_sboms(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Check the formats of ``--sbom FORMAT FILE``.

    :raises UsageError: a format is unknown.
    """
    sboms = []
    for name, path in pairs:
        if name not in {*SbomFormat}:
            raise UsageError(
                f"cannot write an SBOM as {name}: choose {' or '.join(SbomFormat)}",
                f"as in --sbom {SbomFormat.SPDX} app{SbomFormat.SPDX.suffix}",
            )
        sboms.append((name, path))
    return tuple(sboms)


def parse_argv(option: str, text: str | None) -> tuple[str, ...] | None:
    """Parse a command as podman does: a JSON list of strings, or shell syntax.

    :raises UsageError: it is neither.
    """
    if text is None:
        return None
    try:
        argv = orjson.loads(text) if text.startswith("[") else shlex.split(text)
    except ValueError as error:
        raise UsageError(f"cannot use {option} {text}: {error}") from error
    if not isinstance(argv, list) or not all(isinstance(arg, str) for arg in argv):
        raise UsageError(f"cannot use {option} {text}: it is not a list of strings")
    return tuple(argv)


def split_names(values: Sequence[str]) -> tuple[str, ...]:
    """Split the values of an option at commas, and sort the names."""
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(sorted({name for name in names if name}))


def read_source_date_epoch() -> int | None:
    """Read SOURCE_DATE_EPOCH (reproducible-builds.org) in seconds; None if it is not set.

    :raises UsageError: it is not a number.
    """
    value = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not value:
        return None
    if not value.isdecimal():
        raise UsageError(f"cannot use SOURCE_DATE_EPOCH={value}: it is not a number of seconds")
    return int(value)
