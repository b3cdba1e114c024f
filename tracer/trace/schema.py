"""What is said of runs in the trace's lines and in ``show --json`` alike, and read back."""

from __future__ import annotations

import base64
import os
import re
import signal
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.trace.trace import DriveOptions, DriveResult, Fingerprint, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slimtrace.tracer.trace.trace import Run

SCHEMA = 1
"""The version of the schema."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_USER = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")


def integer(value: object) -> int:
    """A whole number, which a JSON ``true`` is not."""
    if type(value) is not int:
        raise ValueError(f"{value!r:.60} is not a whole number")
    return value


def word(value: object) -> int:
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


def truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.60} is not true or false")  # noqa: TRY004 -- the same
    return value


def path(line: Mapping[str, Any], key: str) -> str:
    """A path as :class:`TracedPath` has it: absolute, and one that the kernel would take."""
    found = get(line, key)
    if not found.startswith("/") or "\0" in found:
        raise ValueError(f"{found!r:.60} is no absolute path")
    return found


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


def texts(value: object) -> dict[str, str]:
    """Names and their strings."""
    return {name: text(each) for name, each in thing(value).items()}


def thing(value: object) -> dict[str, Any]:
    """An object of JSON."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is no object")  # noqa: TRY004 -- the same
    return value


def objects(value: object) -> list[dict[str, Any]]:
    """A list of them."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not a list")  # noqa: TRY004 -- the same
    return [thing(each) for each in value]


def fingerprint(value: object) -> Fingerprint:
    """The five numbers of a ``stat``."""
    if not isinstance(value, list) or len(value) != len(Fingerprint._fields):
        raise ValueError(f"{value!r:.60} is no stat")
    found = Fingerprint(*map(integer, value))
    # stat(3type): three words of 32 bits, and a size; a time may lie before 1970.
    if min(found[:4]) < 0 or max(found[:3]) >> 32 or found.size >> 63:
        raise ValueError(f"{value!r:.60} is no stat")
    return found


def is_text(value: str) -> bool:
    """Whether ``value`` came from UTF-8 bytes (PEP 383 keeps other bytes as lone surrogates)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def put(key: str, value: str) -> dict[str, str]:
    """``{key: value}``, or ``{key_b64: base64}`` where the bytes behind value are not UTF-8."""
    if is_text(value):
        return {key: value}
    return {f"{key}_b64": base64.b64encode(os.fsencode(value)).decode()}


def put_list(key: str, values: Sequence[str]) -> dict[str, list[str]]:
    """As :func:`put` for a list: one word that is not UTF-8 turns the whole list to base64."""
    if all(map(is_text, values)):
        return {key: list(values)}
    return {f"{key}_b64": [base64.b64encode(os.fsencode(value)).decode() for value in values]}


def readable(value: str) -> str:
    """``value`` for people: bytes that are not UTF-8 as escapes."""
    return value.encode(errors="backslashreplace").decode()


def get(line: Mapping[str, Any], key: str) -> str:
    """What :func:`put` put in. Raises KeyError or ValueError where the line has neither form."""
    if key in line:
        return _string(line[key])
    return os.fsdecode(base64.b64decode(_string(line[f"{key}_b64"]), validate=True))


def get_list(line: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """What :func:`put_list` put in. Raises KeyError or ValueError."""
    words = line[key] if key in line else line[f"{key}_b64"]
    if not isinstance(words, list):
        raise ValueError(f"{words!r:.60} is not a list")  # noqa: TRY004 -- one kind for bad lines
    if key in line:
        return tuple(map(_string, words))
    return tuple(os.fsdecode(base64.b64decode(_string(word), validate=True)) for word in words)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")  # noqa: TRY004 -- one kind for bad lines
    return value


def put_place(run: Run) -> dict[str, Any]:
    """Where in an image it ran, as far as that is not the default."""
    return {
        **(put_list("volumes", run.volumes) if run.volumes else {}),
        **(put_list("mounts", run.mounts) if run.mounts else {}),
        **({} if run.network == "host" else {"network": run.network}),
        **({} if run.hostname is None else put("hostname", run.hostname)),
    }


def get_place(found: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`put_place` put, as fields of Run. Raises TypeError or ValueError."""
    return {
        "volumes": _list(found, "volumes"),
        "mounts": _list(found, "mounts"),
        "network": text(found.get("network", "host")),
        "hostname": get(found, "hostname") if _has(found, "hostname") else None,
    }


def put_driving(driving: DriveOptions) -> dict[str, Any]:
    """All that was asked for, times in seconds with their defaults too: these may change."""
    return {
        **({} if driving.ready is None else put("ready", driving.ready)),
        **({} if driving.ready_status is None else {"ready_status": driving.ready_status}),
        "ready_timeout": driving.ready_timeout,
        **(put_list("http_get", driving.http_get) if driving.http_get else {}),
        **(put_list("exec", driving.commands) if driving.commands else {}),
        **({"exec_in": [put_list("argv", a) for a in driving.inside]} if driving.inside else {}),
        "exec_timeout": driving.exec_timeout,
        **({} if driving.stop_after is None else {"stop_after": driving.stop_after}),
        "stop_signal": driving.stop_signal,
        "stop_grace": driving.stop_grace,
    }


def get_driving(found: Mapping[str, Any]) -> DriveOptions:
    """What :func:`put_driving` put. Raises KeyError, TypeError or ValueError."""
    status, after = found.get("ready_status"), found.get("stop_after")
    return DriveOptions(
        ready=get(found, "ready") if _has(found, "ready") else None,
        ready_status=None if status is None else text(status),
        ready_timeout=seconds(found["ready_timeout"]),
        http_get=_list(found, "http_get"),
        commands=_list(found, "exec"),
        inside=tuple(get_list(each, "argv") for each in objects(found.get("exec_in", []))),
        exec_timeout=seconds(found["exec_timeout"]),
        stop_after=None if after is None else seconds(after),
        stop_signal=signal_name(found["stop_signal"]),
        stop_grace=seconds(found["stop_grace"]),
    )


def put_driven(driven: DriveResult) -> dict[str, Any]:
    """How it went; null where something never was."""
    return {
        "ready": driven.ready,
        "answers": [
            {**put("driver", answer.driver), "status": answer.status} for answer in driven.answers
        ],
        "failure": None if driven.failure is None else readable(driven.failure),
    }


def get_driven(found: Mapping[str, Any]) -> DriveResult:
    """What :func:`put_driven` put. Raises KeyError, TypeError or ValueError."""
    ready, failure = found["ready"], found["failure"]
    return DriveResult(
        ready=None if ready is None else seconds(ready),
        answers=tuple(map(_answer, objects(found["answers"]))),
        failure=None if failure is None else text(failure),
    )


def _answer(found: Mapping[str, Any]) -> Response:
    status = found["status"]
    return Response(get(found, "driver"), None if status is None else integer(status))


def _has(found: Mapping[str, Any], key: str) -> bool:
    return bool({key, f"{key}_b64"} & found.keys())


def _list(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return get_list(found, key) if _has(found, key) else ()
