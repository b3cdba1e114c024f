"""Writes a trace as it happens: each line reaches the kernel before the app goes on."""

from __future__ import annotations

import fcntl
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson

from tracer.errors import TraceFileError
from tracer.tracefile import SCHEMA
from tracer.tracefile.text import put, put_list

if TYPE_CHECKING:
    from tracer.model import Fingerprint, Gap, Listening, ProcessImage, Run, SavedFile, Touch


class TraceWriter:
    """One open trace file. Safe for the two tracing threads: a line is one write(2) in O_APPEND.

    A write that fails (disk full) does not disturb the app: the first error is kept in
    ``failure`` and nothing more is written; whoever ends the run reports it.

    :ivar path: the trace file.
    :ivar folder: where copies of files put aside go; made when the first is.
    """

    def __init__(self, path: str, *, append: bool = False, force: bool = False) -> None:
        """Open ``path`` for a new run.

        :raises TraceFileError: it exists and neither ``append`` nor ``force`` was said, it is
            being written by another slimtrace, or it cannot be opened.
        """
        self.path = path
        self.folder = path + ".d"
        self.failure: OSError | None = None
        exists = os.path.lexists(path)
        if exists and not append and not force:
            raise TraceFileError(
                f"cannot write {path}: it exists",
                "add --append to add this run to it, or --force to replace it",
            )
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise TraceFileError(
                f"cannot write {path}: another slimtrace is writing it",
                "name another file with -o",
            ) from error
        if exists and not append:
            os.ftruncate(self._fd, 0)
        if os.fstat(self._fd).st_size == 0:
            self._line({"slimtrace": SCHEMA, "version": version("slimtrace")})

    def run(self, run: Run, first_process: int) -> None:
        """A run begins; ``first_process`` is the id that its first process image will have."""
        self._line(
            {
                "run": {
                    **put_list("command", run.command),
                    **put("cwd", run.cwd),
                    "user": run.user,
                    "env": {key: value for key, value in run.env.items() if _plain(key, value)},
                    "image": run.image,
                    "image_digest": run.image_digest,
                    "started": run.started,
                    "machine": run.machine,
                    "engine": run.engine,
                    "first_process": first_process,
                }
            }
        )

    def process(self, image: ProcessImage) -> None:
        line = {"process": image.id, "parent": image.parent}
        self._line({**line, **put("exe", image.exe), **put_list("argv", image.argv)})

    def exited(self, process: int, status: int) -> None:
        self._line({"exit": process, "status": status})

    def touch(self, touch: Touch) -> None:
        line: dict[str, Any] = {
            "use": touch.use,
            "t": round(touch.seconds, 6),
            "p": touch.process,
            **put("path", touch.path),
            "was": touch.state,
        }
        if touch.fingerprint is not None:
            line["stat"] = list(touch.fingerprint)
        self._line(line)

    def saved(self, saved: SavedFile) -> None:
        blob = os.path.basename(saved.blob)
        self._line({**put("save", saved.path), "blob": blob, "stat": list(saved.fingerprint)})

    def syscall(self, name: str) -> None:
        self._line({"syscall": name})

    def listening(self, port: Listening) -> None:
        self._line({"listen": port.protocol, "port": port.port})

    def gap(self, gap: Gap) -> None:
        self._line({"gap": gap.kind, "detail": gap.detail})

    def end(self, run: Run) -> None:
        """The run is over: its seconds, exit status, signal and completeness are in ``run``."""
        self._line(
            {
                "end": {
                    "seconds": run.seconds,
                    "exit_status": run.exit_status,
                    "signal": run.signal,
                    "complete": run.complete,
                }
            }
        )

    def close(self) -> None:
        os.close(self._fd)

    def _line(self, line: dict[str, Any]) -> None:
        if self.failure is not None:
            return
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # the disk filled up in mid-line: the rest says why
                os.write(self._fd, data[written:])
        except OSError as error:
            self.failure = error


def _plain(*values: str) -> bool:
    """Whether JSON can hold the values: a variable that is not UTF-8 is not kept."""
    return not any("\udc80" <= char <= "\udcff" for value in values for char in value)
