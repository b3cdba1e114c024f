"""Checks of the values in a trace: each returns the value, or raises ValueError."""

from __future__ import annotations

import re
import signal
from typing import Any

from slimtrace.tracer.trace.trace import Fingerprint

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_USER = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")


def integer(value: object) -> int:
    """Check a whole number; JSON's ``true`` is not one."""
    if type(value) is not int:
        raise ValueError(f"{value!r:.60} is not a whole number")
    return value


def uint32(value: object) -> int:
    """Check a 32-bit argument of a system call."""
    number = integer(value)
    if number < 0 or number >> 32:
        raise ValueError(f"{number!r:.60} is not an unsigned 32-bit number")
    return number


def index(value: object) -> int:
    """Check an index of a list, from 0."""
    number = integer(value)
    if number < 0:
        raise ValueError(f"{number!r:.60} is not an index")
    return number


def seconds(value: object) -> float:
    """Check a time in seconds since the run began."""
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
    """Check a file name without a directory."""
    name = text(value)
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r:.60} is not a file name")
    return name


def signal_name(value: object) -> str:
    """Check a signal's name, such as ``SIGTERM``."""
    name = text(value)
    if name not in signal.Signals.__members__:
        raise ValueError(f"{name!r:.60} is not a signal")
    return name


def user(value: object) -> str:
    """Check ``uid:gid``, numeric."""
    ids = text(value)
    if not _USER.fullmatch(ids):
        raise ValueError(f"{ids!r:.60} is not UID:GID")
    return ids


def digest(value: object) -> str:
    """Check an image's digest (image-spec descriptor.md), which is then safe in a path."""
    name = text(value)
    if not _DIGEST.fullmatch(name):
        raise ValueError(f"{name!r:.60} is not a sha256 or sha512 digest")
    return name


def text_mapping(value: object) -> dict[str, str]:
    """Check a JSON object whose values are strings."""
    return {name: text(each) for name, each in json_object(value).items()}


def json_object(value: object) -> dict[str, Any]:
    """Check a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is not an object")  # noqa: TRY004 -- the same
    return value


def json_objects(value: object) -> list[dict[str, Any]]:
    """Check a list of JSON objects."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not a list")  # noqa: TRY004 -- the same
    return [json_object(each) for each in value]


def fingerprint(value: object) -> Fingerprint:
    """Check the five numbers of a ``stat``."""
    if not isinstance(value, list) or len(value) != len(Fingerprint._fields):
        raise ValueError(f"{value!r:.60} is not a stat")
    status = Fingerprint(*map(integer, value))
    # stat(3type): three 32-bit numbers, and a size; a time may be before 1970.
    if min(status[:4]) < 0 or max(status[:3]) >> 32 or status.size >> 63:
        raise ValueError(f"{value!r:.60} is not a stat")
    return status
