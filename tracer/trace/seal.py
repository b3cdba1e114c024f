"""Seals runs in a trace, so that only their author's slimtrace repeats them unasked.

A trace names commands and mounts of this machine, and may come from anywhere. The seal is a message
authentication code of the line that says what to repeat, by a key that only this user can read, on
a machine with this ID (machine-id(5)).
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.trace.signing_key import load_key
from slimtrace.tracer.trace.trace import Seal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.trace.trace import Run

_MACHINE_ID = "/etc/machine-id"
_PERSON = b"slimtrace run"
"""Separates these codes from others with the same key (blake2, "personalization")."""


def make_seal(line: Mapping[str, Any]) -> str:
    """Return the seal of a run's line.

    :param line: the object of the line, without a seal.
    """
    return _compute_code(_get_content(line))


def read_seal(line: Mapping[str, Any]) -> Seal | None:
    """Return what a run's line says of its seal; None if it has none. Nothing is checked."""
    code = line.get("seal")
    return Seal(_get_content(line), code) if isinstance(code, str) else None


def is_made_here(run: Run) -> bool:
    """Whether this user made the run's trace on this machine."""
    if run.seal is None or not run.seal.code.isascii():
        return False
    return compare_digest(run.seal.code, _compute_code(run.seal.content))


def _get_content(line: Mapping[str, Any]) -> bytes:
    content = {key: value for key, value in line.items() if key != "seal"}
    copies = content.get("before")
    if isinstance(copies, list):
        content["before"] = [_without_name(copy) for copy in copies]
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def _without_name(copy: object) -> object:
    """A copy of a volume without its file's name, which is another one in a merged trace."""
    if not isinstance(copy, dict):
        return copy
    return {key: value for key, value in copy.items() if key != "blob"}


def _compute_code(content: bytes) -> str:
    data = _read_machine_id() + b"\n" + content
    return blake2b(data, digest_size=32, key=load_key(), person=_PERSON).hexdigest()


def _read_machine_id() -> bytes:
    try:
        with open(_MACHINE_ID, "rb") as file:
            return file.readline(64).strip()
    except OSError:  # many containers have none
        return b""
