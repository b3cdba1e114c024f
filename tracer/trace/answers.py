"""The answers of an app in full: a file beside a trace, for who compares two runs.

Each line is a JSON object. A trace has only their statuses.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.text_fields import get, put

MAX_BODY_BYTES = 16 << 20
"""The bytes of a body that are kept; the rest only counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app answered one driver, in full.

    :ivar driver: ``GET /path`` or the command, as in the trace; empty for what an app that nothing
        drives prints.
    :ivar status: an HTTP status or an exit status; None if there was no answer.
    :ivar began: seconds from the start of the run, as the times of a trace; so is ``ended``.
    :ivar media_type: the Content-Type; empty for a command.
    :ivar body: the body, or what a command printed on stdout and stderr: its first bytes.
    :ivar size: the bytes of the whole body.
    :ivar failure: why there was no answer; None if there was one.
    """

    driver: str
    status: int | None
    began: float = 0.0
    ended: float = 0.0
    media_type: str = ""
    body: bytes = b""
    size: int = 0
    failure: str | None = None


def format_answer(answer: Answer) -> bytes:
    """The line of an answer."""
    document: dict[str, Any] = {
        **put("driver", answer.driver),
        "status": answer.status,
        "began": answer.began,
        "ended": answer.ended,
        **put("type", answer.media_type),
        "body": base64.b64encode(answer.body).decode(),
        "size": answer.size,
        **({} if answer.failure is None else put("failure", answer.failure)),
    }
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def read_answers(path: str) -> tuple[Answer, ...]:
    """Read the answers of a run, in the order in which they came.

    :raises SlimtraceError: the file cannot be read, or is not one of :func:`format_answer`.
    """
    try:
        with open(path, "rb") as file:
            return tuple(_parse(orjson.loads(line)) for line in file)
    except OSError as error:
        raise SlimtraceError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SlimtraceError(f"cannot read {path}: it has no answers of slimtrace") from error


def _parse(found: dict[str, Any]) -> Answer:
    return Answer(
        driver=get(found, "driver"),
        status=found["status"],
        began=found["began"],
        ended=found["ended"],
        media_type=get(found, "type"),
        body=base64.b64decode(found["body"], validate=True),
        size=found["size"],
        failure=get(found, "failure") if {"failure", "failure_b64"} & found.keys() else None,
    )
