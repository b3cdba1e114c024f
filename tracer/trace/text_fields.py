"""Strings in JSON: as text, or in base64 if their bytes are not UTF-8."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.trace.field_checks import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def is_text(value: str) -> bool:
    """Whether ``value`` came from UTF-8 bytes (PEP 383 keeps other bytes as lone surrogates)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def put(key: str, value: str) -> dict[str, str]:
    """Return ``{key: value}``, or ``{key_b64: base64}`` if the value's bytes are not UTF-8."""
    if is_text(value):
        return {key: value}
    return {f"{key}_b64": base64.b64encode(os.fsencode(value)).decode()}


def put_list(key: str, values: Sequence[str]) -> dict[str, list[str]]:
    """Like :func:`put` for a list: if one value is not UTF-8, the whole list is in base64."""
    if all(map(is_text, values)):
        return {key: list(values)}
    return {f"{key}_b64": [base64.b64encode(os.fsencode(value)).decode() for value in values]}


def escape_bytes(value: str) -> str:
    """Return ``value`` for people, with escapes for bytes that are not UTF-8."""
    return value.encode(errors="backslashreplace").decode()


def get(line: Mapping[str, Any], key: str) -> str:
    """Return the value that :func:`put` stored. Raises KeyError or ValueError if there is none."""
    if key in line:
        return text(line[key])
    return os.fsdecode(base64.b64decode(text(line[f"{key}_b64"]), validate=True))


def get_list(line: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list that :func:`put_list` stored. Raises KeyError or ValueError."""
    values = line[key] if key in line else line[f"{key}_b64"]
    if not isinstance(values, list):
        raise ValueError(f"{values!r:.60} is not a list")  # noqa: TRY004 -- one kind for bad lines
    if key in line:
        return tuple(map(text, values))
    return tuple(os.fsdecode(base64.b64decode(text(value), validate=True)) for value in values)


def get_path(line: Mapping[str, Any], key: str) -> str:
    """Return a path that :func:`put` stored: absolute, and valid for the kernel."""
    path = get(line, key)
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{path!r:.60} is not an absolute path")
    return path
