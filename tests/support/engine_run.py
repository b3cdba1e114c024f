"""Runs a command under an engine, writes its trace, and prints its exit status as JSON.

``python engine_run.py ENGINE TRACE COMMAND...``: a process of its own, because engines need signals
that every thread blocks, and the workers of pytest-xdist have a thread that does not.
"""

from __future__ import annotations

import json
import platform
import sys

from slimtrace.tracer.engines import signals
from slimtrace.tracer.engines.choice import LaunchCommand, start_engine
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.trace.trace import Run
from slimtrace.tracer.trace.writer import TraceWriter

RUN = Run(
    *(("app",), "/", "0:0", {}, "rootfs:/", None, "2024-01-01T00:00:00Z"),
    *(platform.machine(), "notify"),
)


def main(engine: str, trace: str, *argv: str) -> None:
    """Run the command in the current directory, with no signal blocked."""
    signals.block_signals()
    writer = TraceWriter(trace)
    writer.write_run(RUN)
    recorder = Recorder(writer, 0, 1)
    chosen = start_engine(engine, LaunchCommand(argv[0], argv, set())).engine
    chosen.run(recorder)
    recorder.flush()
    writer.write_end(RUN)
    writer.close()
    print(json.dumps(chosen.app.exit_status))


if __name__ == "__main__":
    main(*sys.argv[1:])
