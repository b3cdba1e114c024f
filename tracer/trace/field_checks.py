"""Checks of values that a trace has: each returns the value, or raises ValueError."""

from __future__ import annotations

import re
import signal
from typing import Any

from slimtrace.tracer.trace.trace import Fingerprint

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_USER = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")


def integer(value: object) -> int:
    """A whole number, which a JSON ``true`` is not."""
    if type(value) is not int:
        raise ValueError(f"{value!r:.60} is not a whole number")
    return value


def uint32(value: object) -> int:
    """A system call's argument of 32 bits."""
    found = integer(value)
    if found < 0 or found >> 32:
        raise ValueError(f"{found!r:.60} is no argument of 32 bits")
    return found


def index(value: object) -> int:
    """A place in a list, from 0."""
    found = integer(value)
    if found < 0:
        raise ValueError(f"{found!r:.60} is no place in a list")
    return found


def seconds(value: object) -> float:
    """A time since the run began."""
    if type(value) not in {int, float}:
        raise ValueError(f"{value!r:.60} is not a number")
    return value  # type: ignore[return-value]


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.60} is not a string")  # noqa: TRY004 -- one kind for bad lines
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.60} is not true or false")  # noqa: TRY004 -- the same
    return value


def file_name(value: object) -> str:
    """A name in one directory."""
    found = text(value)
    if found in {"", ".", ".."} or "/" in found or "\0" in found:
        raise ValueError(f"{found!r:.60} is no file's name")
    return found


def signal_name(value: object) -> str:
    """As ``SIGTERM``."""
    found = text(value)
    if found not in signal.Signals.__members__:
        raise ValueError(f"{found!r:.60} is no signal")
    return found


def user(value: object) -> str:
    """``uid:gid``, numeric."""
    found = text(value)
    if not _USER.fullmatch(found):
        raise ValueError(f"{found!r:.60} is not UID:GID")
    return found


def digest(value: object) -> str:
    """A digest as images have it (image-spec descriptor.md), which is safe in a path."""
    found = text(value)
    if not _DIGEST.fullmatch(found):
        raise ValueError(f"{found!r:.60} is no sha256 or sha512 digest")
    return found


def text_mapping(value: object) -> dict[str, str]:
    """Names and their strings."""
    return {name: text(each) for name, each in json_object(value).items()}


def json_object(value: object) -> dict[str, Any]:
    """An object of JSON."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is no object")  # noqa: TRY004 -- the same
    return value


def json_objects(value: object) -> list[dict[str, Any]]:
    """A list of them."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not a list")  # noqa: TRY004 -- the same
    return [json_object(each) for each in value]


def fingerprint(value: object) -> Fingerprint:
    """The five numbers of a ``stat``."""
    if not isinstance(value, list) or len(value) != len(Fingerprint._fields):
        raise ValueError(f"{value!r:.60} is no stat")
    found = Fingerprint(*map(integer, value))
    # stat(3type): three words of 32 bits, and a size; a time may lie before 1970.
    if min(found[:4]) < 0 or max(found[:3]) >> 32 or found.size >> 63:
        raise ValueError(f"{value!r:.60} is no stat")
    return found
