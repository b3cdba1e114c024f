"""Parses extended headers (POSIX.1-2017 pax(1), "pax Extended Header") and header numbers."""

from __future__ import annotations

import re

_LENGTH_DIGITS = 8
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_TIME = re.compile(rb"(-?)([0-9]{1,12})(?:\.([0-9]*))?")

Records = list[tuple[bytes, bytes]]


class MalformedHeader(ValueError):  # noqa: N818 -- becomes a SlimtraceError with the member's name
    """An archive is damaged; the message is the cause, for the text after a colon."""


def parse_records(body: bytes) -> Records:
    """Parse an extended header into keys and values, in order; a key can occur more than once.

    :raises MalformedHeader: a record is not ``LENGTH KEY=VALUE`` and a newline.
    """
    found = []
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + _LENGTH_DIGITS + 1)
        digits = body[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise MalformedHeader("its extended header has a record without a length")
        end = at + int(digits)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end > len(body) or end <= space + 1 or body[end - 1] != 0x0A or not (key and equals):
            raise MalformedHeader("its extended header has a damaged record")
        found.append((key, value))
        at = end
    return found


def parse_decimal(value: bytes, what: str) -> int:
    """Parse a whole number in a record.

    :raises MalformedHeader: it is not a number, or has more than 19 digits.
    """
    if not _DECIMAL.fullmatch(value):
        raise MalformedHeader(f"its {what} is not a number")
    return int(value)


def parse_time(value: bytes) -> int:
    """Parse a time in seconds with a fraction; return nanoseconds, rounded down.

    :raises MalformedHeader: it is not a number.
    """
    match = _TIME.fullmatch(value)
    if match is None:
        raise MalformedHeader("its mtime is not a number")
    sign, whole, fraction = match.groups(b"")
    nanoseconds = int(whole) * 10**9 + int(fraction[:9].ljust(9, b"0"))
    if not sign:
        return nanoseconds
    finer = any(digit != 0x30 for digit in fraction[9:])
    return -nanoseconds - finer


def parse_number(field: bytes, what: str) -> int:
    """Parse a number in a header: octal digits, or base-256 with the first bit set (GNU tar, star).

    :raises MalformedHeader: it is neither.
    """
    if field[0] & 0x80:
        number = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:  # the sign, in two's complement
            number -= 1 << (8 * len(field) - 1)
        return number
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:
        pass
    raise MalformedHeader(f"its {what} is not a number")
