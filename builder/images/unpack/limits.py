"""Limits of what one image may unpack to, against archives that would fill the disk."""

from __future__ import annotations

from dataclasses import dataclass

from slimtrace.tracer.environment import read_limit
from slimtrace.tracer.errors import SlimtraceError

SIZE_VARIABLE = "SLIMTRACE_MAX_IMAGE_SIZE"
ENTRIES_VARIABLE = "SLIMTRACE_MAX_IMAGE_ENTRIES"
_DEFAULT_MAX_BYTES = 64 << 30
_DEFAULT_MAX_ENTRIES = 2_000_000


@dataclass(slots=True)
class UnpackLimits:
    """What an image may still use.

    :ivar size: bytes of uncompressed layers, including the holes of sparse files.
    :ivar entries: entries of all layers, including those that later layers delete.
    """

    size: int = _DEFAULT_MAX_BYTES
    entries: int = _DEFAULT_MAX_ENTRIES

    def spend_size(self, size: int) -> None:
        """:raises SlimtraceError: the limit is exceeded."""
        self.size -= size
        if self.size < 0:
            limit = read_limit(SIZE_VARIABLE, _DEFAULT_MAX_BYTES)
            raise SlimtraceError(
                f"cannot unpack the image: it has more than {limit} bytes",
                f"if you trust it, set {SIZE_VARIABLE} to more",
            )

    def spend_entry(self) -> None:
        """:raises SlimtraceError: the limit is exceeded."""
        self.entries -= 1
        if self.entries < 0:
            limit = read_limit(ENTRIES_VARIABLE, _DEFAULT_MAX_ENTRIES)
            raise SlimtraceError(
                f"cannot unpack the image: it has more than {limit} files",
                f"if you trust it, set {ENTRIES_VARIABLE} to more",
            )


def read_limits() -> UnpackLimits:
    """Read the limits from the environment; by default 64 GiB and 2 million entries.

    :raises UsageError: a variable is not a number.
    """
    return UnpackLimits(
        read_limit(SIZE_VARIABLE, _DEFAULT_MAX_BYTES),
        read_limit(ENTRIES_VARIABLE, _DEFAULT_MAX_ENTRIES),
    )
