"""Where a trace is written, and what becomes of one that is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.old_trace import IfExists
from slimtrace.tracer.trace.writer import TraceWriter


@dataclass(frozen=True, slots=True)
class TraceOutput:
    """The user's options for the trace to write."""

    path: str
    if_exists: IfExists = IfExists.MOVE

    def find_next_ids(self, image: str, digest: str | None) -> tuple[int, int]:
        """Return the number of this run and the id of its first process image in the trace.

        :param image: the image of this run, and its digest.
        :raises TraceFileError: the trace cannot be read, or its runs used another image.
        """
        if self.if_exists is not IfExists.APPEND or not _has_content(self.path):
            return 0, 1
        from slimtrace.tracer.trace.image_check import check_appended_image  # noqa: PLC0415
        from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415 -- for --append alone

        trace = read_trace(self.path)
        check_appended_image(self.path, trace, image, digest)
        return len(trace.runs), 1 + max((image.id for image in trace.processes), default=0)

    def open(self) -> TraceWriter:
        """:raises TraceFileError: it exists and must not be replaced, or cannot be opened."""
        return TraceWriter(os.path.abspath(self.path), self.if_exists)

    def finish(self, writer: TraceWriter) -> None:
        """Close the trace.

        :raises TraceFileError: a part of it could not be written.
        """
        writer.close()
        if writer.failure is not None:
            raise TraceFileError(
                f"cannot write {self.path}: {writer.failure.strerror}",
                "the trace is incomplete: free some space and trace again",
            )


def _has_content(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def make_timestamp() -> str:
    """Return the current time, ISO 8601 in UTC, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
