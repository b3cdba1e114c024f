"""How much one image may hold: an end for archives that unpack to more than a disk holds."""

from __future__ import annotations

import os
from dataclasses import dataclass

from slimtrace.tracer.errors import SlimtraceError, UsageError

SIZE_VARIABLE = "SLIMTRACE_MAX_IMAGE_SIZE"
ENTRIES_VARIABLE = "SLIMTRACE_MAX_IMAGE_ENTRIES"
_DEFAULT_MAX_BYTES = 64 << 30
_DEFAULT_MAX_ENTRIES = 2_000_000


@dataclass(slots=True)
class UnpackLimits:
    """What is left to one image.

    :ivar size: bytes of uncompressed layers, holes of sparse files counted.
    :ivar entries: entries of all layers, those that later layers hide counted.
    """

    size: int = _DEFAULT_MAX_BYTES
    entries: int = _DEFAULT_MAX_ENTRIES

    def spend_size(self, size: int) -> None:
        """:raises SlimtraceError: there is not so much left."""
        self.size -= size
        if self.size < 0:
            limit = _read_setting(SIZE_VARIABLE, _DEFAULT_MAX_BYTES)
            raise SlimtraceError(
                f"cannot unpack the image: it holds more than {limit} bytes",
                f"where you trust it, set {SIZE_VARIABLE} to more",
            )

    def spend_entry(self) -> None:
        """:raises SlimtraceError: there is none left."""
        self.entries -= 1
        if self.entries < 0:
            limit = _read_setting(ENTRIES_VARIABLE, _DEFAULT_MAX_ENTRIES)
            raise SlimtraceError(
                f"cannot unpack the image: it holds more than {limit} files",
                f"where you trust it, set {ENTRIES_VARIABLE} to more",
            )


def read_limits() -> UnpackLimits:
    """The limits that the environment sets, or 64 GiB and 2 million entries.

    :raises UsageError: a variable is not a number.
    """
    return UnpackLimits(
        _read_setting(SIZE_VARIABLE, _DEFAULT_MAX_BYTES),
        _read_setting(ENTRIES_VARIABLE, _DEFAULT_MAX_ENTRIES),
    )


def _read_setting(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise UsageError(f"cannot use {name}={value}: it is not a whole number")
    return int(value)
