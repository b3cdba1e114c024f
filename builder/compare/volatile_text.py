"""Masks what changes from one start of an app to the next: times, durations, tokens, ids.

Times are masked by their distance from now. So a page that shows the wrong hour, for want of a
time zone, still differs.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = timedelta(minutes=15)
"""The offsets of time zones are multiples of it."""
_CLOCK = r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?"
_DAY, _MONTH = (
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
)
_ISO = rf"\d{{4}}-\d\d-\d\d[T ]{_CLOCK}(?: ?(?:Z|[+-]\d\d:?\d\d))?"
_MAIL = rf"{_DAY}, \d\d? {_MONTH} \d{{4}} {_CLOCK}(?: (?:GMT|UTC|[+-]\d{{4}}))?"
_CTIME = rf"{_DAY} {_MONTH} [ \d]\d {_CLOCK} (?:[A-Z]{{3,4}} )?\d{{4}}"
_LOG = rf"\d\d/{_MONTH}/\d{{4}}:{_CLOCK} [+-]\d{{4}}"
_EPOCH = r"(?<![\w.])\d{10}(?:\d{3})?(?:\.\d+)?(?![\w.])"
_UUID = r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
_ADDRESS = r"\b0x[0-9a-fA-F]{6,16}\b"
_HEX = r"\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,128}\b"
_LONG_WORD = (
    r"(?<![\w+/.=-])(?=[\w+/.=-]*\d)(?=[\w+/.=-]*[a-z])(?=[\w+/.=-]*[A-Z])[\w+/.=-]{20,200}"
    r"(?![\w+/.=-])"
)
_DURATION = r"\b\d+(?:\.\d+)? ?(?:ns|us|µs|ms|s|secs?|seconds?)\b"


def mask_volatile(text: str, now: datetime) -> str:
    """Mask what may change from one start to the next.

    :param now: when the text was made; times are masked by their distance from it.
    """

    def mask_time(parse: Callable[[str], datetime]) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            with suppress(ValueError, OverflowError, OSError):
                steps = round((parse(match[0]) - now) / _STEP)
                return f"<time {steps * _STEP.total_seconds() / 60:+.0f} min>"
            return match[0]

        return replace

    for pattern, parse in _TIMES:
        text = pattern.sub(mask_time(parse), text)
    for name, pattern in _WORDS.items():
        text = pattern.sub(f"<{name}>", text)
    return text


def _parse_iso(text: str) -> datetime:
    return _with_zone(datetime.fromisoformat(text.replace(",", ".").replace(" +", "+")))


def _parse_mail(text: str) -> datetime:
    return _with_zone(parsedate_to_datetime(text))


def _parse_ctime(text: str) -> datetime:
    words = text.split()
    return _with_zone(
        datetime.strptime(" ".join((*words[1:4], words[-1])), "%b %d %H:%M:%S %Y")  # noqa: DTZ007 -- the next call adds it
    )


def _parse_log(text: str) -> datetime:
    return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")


def _parse_epoch(text: str) -> datetime:
    whole = text.partition(".")[0]
    seconds = int(whole) / (1 if len(whole) == 10 else 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    if abs(moment - datetime.now(UTC)) > timedelta(days=400):
        raise ValueError(text)  # a number that is no time
    return moment


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


_TIMES = tuple(
    (re.compile(pattern), parse)
    for pattern, parse in (
        (_ISO, _parse_iso),
        (_MAIL, _parse_mail),
        (_CTIME, _parse_ctime),
        (_LOG, _parse_log),
        (_EPOCH, _parse_epoch),
    )
)
_WORDS = {
    name: re.compile(pattern)
    for name, pattern in (
        ("id", _UUID),
        ("address", _ADDRESS),
        ("hex", _HEX),
        ("token", _LONG_WORD),
        ("duration", _DURATION),
    )
}
