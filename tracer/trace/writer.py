"""Writes a trace during the run: a line reaches the kernel before the app's next call."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.remove_tree import remove_tree
from slimtrace.tracer.trace.append import end_last_line, open_locked
from slimtrace.tracer.trace.old_trace import IfExists, check_existing, move_to_old
from slimtrace.tracer.trace.schema import (
    SCHEMA,
    put_drive_options,
    put_drive_result,
    put_image_options,
)
from slimtrace.tracer.trace.seal import make_seal
from slimtrace.tracer.trace.text_fields import escape_bytes, put, put_list
from slimtrace.tracer.trace.trace import Fingerprint, State
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.trace.trace import (
        DriveResult,
        Gap,
        ListeningPort,
        PathState,
        ProcessImage,
        Run,
        SavedFile,
        Use,
    )

_MAX_CACHED_PROGRAMS = 1000


class TraceWriter:
    """An open trace file. Two threads may use it: a line is one write(2) with O_APPEND.

    A failed write (disk full) does not disturb the app. The first error is kept in ``failure``,
    nothing more is written, and :meth:`TraceOutput.finish` reports it at the end of the run.

    :ivar path: the trace file.
    :ivar folder: the folder for copies of files; it is created with the first copy.
    """

    def __init__(self, path: str, if_exists: IfExists = IfExists.MOVE) -> None:
        """Open ``path`` for a new run. The file does not change until the app is executed.

        :raises TraceFileError: it exists and must stay, another slimtrace is writing it, or it
            cannot be opened.
        """
        self.path = path
        self.folder = path + ".d"
        self.failure: OSError | None = None
        self._early_lines: list[bytes] | None = []
        self._batch: list[bytes] | None = None
        self._staged: dict[str, str] = {}
        self._programs: dict[tuple[str, tuple[str, ...]], bytes] = {}  # the end of each one's line
        self._is_private = False
        self._append = if_exists is IfExists.APPEND
        self._is_new = not os.path.lexists(path)
        self._is_moved = not self._is_new and check_existing(path, if_exists)
        self._fd = open_locked(path, 0 if self._is_moved else os.O_CREAT)

    def begin(self) -> None:
        """The app runs: write the lines that were kept until now, and from now on at once."""
        lines, self._early_lines = self._early_lines, None
        if lines is None:
            return
        if self._is_moved:
            self._move_old()
        elif not self._append and not self._is_new:
            os.ftruncate(self._fd, 0)
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.failure is not None:
            for path in [*self._staged]:
                self.drop_copy(path)
            return
        if self._is_private:
            with suppress(OSError):  # it is another user's, who lets us append
                os.fchmod(self._fd, 0o600)
        if os.fstat(self._fd).st_size == 0:
            header = {"slimtrace": SCHEMA, "version": VERSION}
            self._write(orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE))
        else:
            end_last_line(self._fd)
        self._write(b"".join(lines))
        for path, final in self._staged.items():
            with suppress(OSError):  # verify can do without
                os.makedirs(self.folder, 0o700, exist_ok=True)
                os.rename(path, final)
                os.rmdir(os.path.dirname(path))

    def stage_copy(self) -> tuple[str, str]:
        """Return a new path for a copy that is made before the app runs, and its later path.

        The folder of copies of an older trace is replaced when the app runs.

        :raises TraceFileError: there is no place for it.
        """
        token = secrets.token_hex(8)
        folder = f"{self.path}.{token}.tmp"
        try:
            os.mkdir(folder, 0o700)
        except OSError as error:
            raise TraceFileError(f"cannot write {folder}: {error.strerror}") from error
        path, final = os.path.join(folder, "copy"), os.path.join(self.folder, f"before-{token}")
        self._staged[path] = final
        return path, final

    def drop_copy(self, path: str) -> None:
        """Remove what is at a path of :meth:`stage_copy`."""
        del self._staged[path]
        with suppress(OSError):
            remove_tree(os.path.dirname(path))

    def _move_old(self) -> None:
        """Make room for the new trace, and create it."""
        try:
            move_to_old(self.path)
            new = open_locked(self.path, os.O_CREAT | os.O_EXCL)
        except OSError as error:
            self.failure = error
        except TraceFileError:  # another slimtrace has begun to write there
            self.failure = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        else:
            os.close(self._fd)
            self._fd = new

    def abandon(self) -> None:
        """The app never ran: close the file unchanged, and delete it if it is new."""
        if self._early_lines is not None:
            for path in [*self._staged]:
                self.drop_copy(path)
            if self._is_new:
                os.unlink(self.path)
        self.close()

    def write_run(self, run: Run) -> None:
        """Write the beginning of a run; the following lines belong to it.

        Requests may have passwords and cookies: with them, the trace is for its owner alone.
        """
        driving = run.drive_options
        self._is_private = driving is not None and bool(driving.requests or driving.http_headers)
        line = {
            **put_list("command", run.command),
            **put("cwd", run.cwd),
            "user": run.user,
            "env": {key: value for key, value in run.env.items() if _is_text(key, value)},
            "image": run.image,
            "image_digest": run.image_digest,
            "started": run.started,
            "machine": run.machine,
            "engine": run.engine,
            "stop_signal": run.stop_signal,
            **put_image_options(run),
            **({"driving": put_drive_options(run.drive_options)} if run.drive_options else {}),
        }
        self._line({"run": {**line, "seal": make_seal(line)}})

    def write_process(self, image: ProcessImage) -> None:
        key = image.exe, image.argv
        program = self._programs.get(key)
        if program is None:
            if len(self._programs) >= _MAX_CACHED_PROGRAMS:
                self._programs.clear()
            fields = {**put("exe", image.exe), **put_list("argv", image.argv)}
            program = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)[1:]
            self._programs[key] = program
        parent = b"null" if image.parent is None else b"%d" % image.parent
        self._data(b'{"process":%d,"parent":%b,%b' % (image.id, parent, program))

    def write_exit(self, process: int, status: int) -> None:
        self._line({"exit": process, "status": status})

    def write_touches(self, seconds: float, process: int, tails: Iterable[bytes]) -> None:
        """Write touches of one process image at one moment.

        :param seconds: since the run began.
        :param tails: what :meth:`format_touch` returns for each touch.
        """
        head = b'{"p":%d,"t":%.6f,' % (process, seconds)
        self._data(b"".join([head + tail for tail in tails]))

    def format_touch(self, use: Use, place: PathState) -> bytes:
        """Return the end of a touch's line, which does not depend on the process and the time."""
        status, state = place.status, place.state
        try:
            path = orjson.dumps(place.path.decode())
        except UnicodeDecodeError:
            return _format_bytes_touch(use, place)
        if status is None or state is not State.FILE:
            return b'"use":"%b","path":%b,"was":"%b"}\n' % (use.encode(), path, state.encode())
        return b'"use":"%b","path":%b,"was":"file","stat":[%d,%d,%d,%d,%d]}\n' % (
            *(use.encode(), path),
            *(status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns),
        )

    def write_saved_file(self, saved: SavedFile) -> None:
        blob = os.path.basename(saved.blob)
        self._line({**put("save", saved.path), "blob": blob, "stat": list(saved.fingerprint)})

    def write_syscall(self, name: str) -> None:
        self._line({"syscall": name})

    def write_argument(self, name: str, value: int) -> None:
        self._line({"argument": name, "value": value})

    def write_narrow_call(self) -> None:
        self._line({"narrow": True})

    def write_counts(self, counts: Mapping[str, int]) -> None:
        self._line({"counts": dict(counts)})

    def write_listening_port(self, port: ListeningPort) -> None:
        self._line({"listen": port.protocol, "port": port.port})

    def write_gap(self, gap: Gap) -> None:
        self._line({"gap": gap.kind, "detail": escape_bytes(gap.detail)})

    def write_drive_result(self, driven: DriveResult) -> None:
        """Write how the drivers ended."""
        self._line({"driven": put_drive_result(driven)})

    def write_end(self, run: Run) -> None:
        """Write the end of the run: its duration, exit status, signal and completeness."""
        self._line(
            {
                "end": {
                    "seconds": run.seconds,
                    "exit_status": run.exit_status,
                    "signal": run.signal,
                    **({"interrupted": run.interrupted} if run.interrupted else {}),
                    "complete": run.complete,
                    **({"stdin": run.stdin} if run.stdin else {}),
                }
            }
        )

    def close(self) -> None:
        os.close(self._fd)

    def _line(self, line: dict[str, Any]) -> None:
        self._data(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _data(self, data: bytes) -> None:
        if self._early_lines is not None:
            self._early_lines.append(data)
        elif self._batch is not None:
            self._batch.append(data)
        elif self.failure is None:
            self._write(data)

    def begin_batch(self) -> None:
        """Keep lines until :meth:`write_batch` writes them with one write(2)."""
        self._batch = []

    def write_batch(self) -> None:
        """Write the lines that were kept since :meth:`begin_batch`."""
        lines, self._batch = self._batch, None
        if lines:
            self._data(b"".join(lines))

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # the disk is full: the second write raises the error
                os.write(self._fd, data[written:])
        except OSError as error:
            self.failure = error


def _format_bytes_touch(use: Use, place: PathState) -> bytes:
    """Return the end of a touch's line for a path that is not UTF-8."""
    line: dict[str, Any] = {"use": use, **put("path", os.fsdecode(place.path)), "was": place.state}
    if place.status is not None and place.state is State.FILE:
        line["stat"] = list(Fingerprint.of(place.status))
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)[1:]


def _is_text(*values: str) -> bool:
    """Whether JSON can represent the values: a variable that is not UTF-8 is not recorded."""
    return not any("\udc80" <= char <= "\udcff" for value in values for char in value)
