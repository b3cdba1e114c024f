"""Where a trace goes: a new file, one more run in an old one, or a file in an old one's place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.writer import TraceWriter


@dataclass(frozen=True, slots=True)
class TraceOutput:
    """What the user said of the trace to write."""

    path: str
    append: bool = False
    force: bool = False

    def find_next_ids(self) -> tuple[int, int]:
        """The number of this run and the id of its first process image in the trace."""
        if not self.append or not os.path.exists(self.path):
            return 0, 1
        from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415 -- for --append alone

        trace = read_trace(self.path)
        return len(trace.runs), 1 + max((image.id for image in trace.processes), default=0)

    def open(self) -> TraceWriter:
        """:raises TraceFileError: it exists and may not be replaced, or cannot be opened."""
        return TraceWriter(os.path.abspath(self.path), append=self.append, force=self.force)

    def finish(self, writer: TraceWriter) -> None:
        """Close the trace.

        :raises TraceFileError: not all of it could be written.
        """
        writer.close()
        if writer.failure is not None:
            raise TraceFileError(
                f"cannot write {self.path}: {writer.failure.strerror}",
                "the trace is cut short: make room and trace again",
            )


def make_timestamp() -> str:
    """The time now, ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
