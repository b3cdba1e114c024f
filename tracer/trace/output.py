"""Where a trace is written: to a new file, appended to a file, or replacing a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.writer import TraceWriter


@dataclass(frozen=True, slots=True)
class TraceOutput:
    """The user's options for the trace to write."""

    path: str
    append: bool = False
    force: bool = False

    def find_next_ids(self) -> tuple[int, int]:
        """Return the number of this run and the id of its first process image in the trace."""
        if not self.append or not os.path.exists(self.path):
            return 0, 1
        from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415 -- for --append alone

        trace = read_trace(self.path)
        return len(trace.runs), 1 + max((image.id for image in trace.processes), default=0)

    def open(self) -> TraceWriter:
        """:raises TraceFileError: it exists and must not be replaced, or cannot be opened."""
        return TraceWriter(os.path.abspath(self.path), append=self.append, force=self.force)

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


def make_timestamp() -> str:
    """Return the current time, ISO 8601 in UTC, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
