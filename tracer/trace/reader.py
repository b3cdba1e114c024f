"""Reads traces: folds the lines of one or more files into one Trace."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace import field_checks as checks
from slimtrace.tracer.trace.schema import (
    SCHEMA,
    get_drive_options,
    get_drive_result,
    get_image_options,
)
from slimtrace.tracer.trace.seal import read_seal
from slimtrace.tracer.trace.text_fields import get, get_list, get_path
from slimtrace.tracer.trace.trace import (
    Fingerprint,
    Gap,
    ListeningPort,
    ProcessImage,
    Run,
    SavedFile,
    State,
    StdinKind,
    Trace,
    TracedPath,
    Use,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAKING = {Use.CREATE, Use.DELETE}
"""Uses that change a name without looking up what is there."""


def read_trace(paths: str | Iterable[str]) -> Trace:
    """Return the union of the traces in these files, in the given order.

    If the tracer was killed, the last line may be incomplete. That line is ignored, and its run is
    ``complete: false``, as is a run without an end.

    :raises TraceFileError: a file cannot be read, is empty, is not a trace, has a schema that
        this version does not know, or is damaged before its last line.
    """
    builder = _TraceBuilder()
    for path in [paths] if isinstance(paths, str) else paths:
        builder.begin_file(path)
        for number, line in read_lines(path):
            try:
                builder.add_line(line)
            # RecursionError: messages show values, and orjson nests lists deeper than repr() can.
            except (KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
                raise TraceFileError(
                    f"cannot read {path}: line {number} is damaged ({error})",
                    "trace the app again",
                ) from error
    return builder.build()


def read_lines(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the complete lines after the first, each with its number from 2.

    :raises TraceFileError: like :func:`read_trace`, but the content of a line is not checked.
    """
    try:
        with open(path, "rb") as file:
            first = file.readline()
            check_header(path, first)
            for number, raw in enumerate(file, start=2):
                if not raw.endswith(b"\n"):
                    return  # incomplete: the tracer was killed while it wrote
                try:
                    line = orjson.loads(raw)
                except orjson.JSONDecodeError as error:
                    raise TraceFileError(
                        f"cannot read {path}: line {number} is not JSON", "trace the app again"
                    ) from error
                if not isinstance(line, dict):
                    raise TraceFileError(f"cannot read {path}: line {number} is not a trace line")
                yield number, line
    except OSError as error:
        hint = "name a file that slimtrace run has written"
        if isinstance(error, FileNotFoundError):
            hint = "trace an app first: slimtrace run -- COMMAND"
        raise TraceFileError(f"cannot read {path}: {error.strerror}", hint) from error


def check_header(path: str, first: bytes) -> None:
    """:raises TraceFileError: this is not the first line of a trace that this version knows."""
    if not first:
        raise TraceFileError(f"cannot read {path}: it is empty", "trace the app again")
    try:
        header = orjson.loads(first)
        version = header["slimtrace"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise TraceFileError(
            f"cannot read {path}: it is not a slimtrace trace",
            "name a file that slimtrace run has written",
        ) from error
    if version != SCHEMA:
        raise TraceFileError(
            f"cannot read {path}: its schema is {version!r}, this slimtrace knows {SCHEMA}",
            "use the slimtrace that wrote it, or a newer one",
        )


@dataclass(slots=True)
class _Path:
    state: State
    first_seen: float
    fingerprint: Fingerprint | None
    uses: set[Use] = field(default_factory=set)
    processes: set[int] = field(default_factory=set)
    missed: bool = False


class _TraceBuilder:
    """Builds a trace from lines, in order. It renumbers process ids to combine several files."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.processes: dict[int, ProcessImage] = {}
        self.paths: dict[str, _Path] = {}
        self.saved: dict[str, SavedFile] = {}
        self.syscalls: dict[str, None] = {}
        self.counts: list[Counter[str] | None] = []
        self.ports: dict[ListeningPort, None] = {}
        self.healed: set[str] = set()
        self.arguments: dict[str, set[int]] = {}
        self.is_narrow = False
        self.folder = ""
        self.first_run = 0
        self.shift = 0
        self.ended = True

    def begin_file(self, path: str) -> None:
        self._close_run()
        self.folder = path + ".d"
        self.first_run = len(self.runs)
        self.shift = max(self.processes, default=0)

    def add_line(self, line: dict[str, Any]) -> None:
        if "use" in line:
            self._add_touch(line)
        elif "process" in line:
            parent = line["parent"]
            image = ProcessImage(
                checks.integer(line["process"]) + self.shift,
                None if parent is None else checks.integer(parent) + self.shift,
                len(self.runs) - 1,
                get(line, "exe"),
                get_list(line, "argv"),
            )
            self.processes[image.id] = image
        elif "exit" in line:
            process = checks.integer(line["exit"]) + self.shift
            status = checks.integer(line["status"])
            self.processes[process] = replace(self.processes[process], exit_status=status)
        elif "save" in line or "save_b64" in line:
            path = get_path(line, "save")
            blob = os.path.join(self.folder, checks.file_name(line["blob"]))
            self.saved.setdefault(path, SavedFile(path, blob, checks.fingerprint(line["stat"])))
        elif "syscall" in line:
            self.syscalls[checks.text(line["syscall"])] = None
        elif "argument" in line:
            seen = self.arguments.setdefault(checks.text(line["argument"]), set())
            seen.add(checks.uint32(line["value"]))
        elif "narrow" in line:
            self.is_narrow = checks.boolean(line["narrow"]) or self.is_narrow
        elif "listen" in line:
            port = ListeningPort(checks.text(line["listen"]), checks.integer(line["port"]))
            self.ports[port] = None
        elif "healed" in line or "healed_b64" in line:
            self.healed.add(get_path(line, "healed"))
        else:
            self._add_run_line(line)

    def _add_run_line(self, line: dict[str, Any]) -> None:
        if "gap" in line:
            gap = Gap(checks.text(line["gap"]), checks.text(line["detail"]))
            self.runs[-1] = replace(self.runs[-1], gaps=(*self.runs[-1].gaps, gap))
        elif "jvm" in line or "jvm_b64" in line:
            self._add_modules(line)
        elif "run" in line:
            self._close_run()
            self._add_run(line["run"])
        elif "counts" in line:
            counts = dict(line["counts"])
            self.counts[-1] = Counter({name: checks.integer(n) for name, n in counts.items()})
        elif "driven" in line:
            driven = get_drive_result(checks.json_object(line["driven"]))
            self.runs[-1] = replace(self.runs[-1], drive_result=driven)
        elif "end" in line:
            self.runs[-1] = replace(self.runs[-1], **_parse_end(line["end"]))
            self.ended = True

    def _add_run(self, line: dict[str, Any]) -> None:
        command = get_list(line, "command")
        if not command:
            raise ValueError("a run has no command")
        digest, signal = line["image_digest"], line.get("stop_signal")
        self.runs.append(
            Run(
                command,
                get_path(line, "cwd"),
                checks.user(line["user"]),
                checks.text_mapping(line["env"]),
                checks.text(line["image"]),
                None if digest is None else checks.digest(digest),
                checks.text(line["started"]),
                checks.text(line["machine"]),
                checks.text(line["engine"]),
                None if signal is None else checks.text(signal),
                **get_image_options(line, self.folder),
                seal=read_seal(line),
                drive_options=get_drive_options(checks.json_object(line["driving"]))
                if "driving" in line
                else None,
            )
        )
        self.counts.append(None)
        self.ended = False

    def _add_modules(self, line: dict[str, Any]) -> None:
        number = self.first_run + checks.index(line["of"])
        run = self.runs[number]
        home = get_path(line, "jvm")
        known = {*run.modules.get(home, ()), *get_list(line, "modules")}
        modules = {**run.modules, home: tuple(sorted(known))}
        self.runs[number] = replace(run, modules=modules)

    def _close_run(self) -> None:
        if not self.ended:
            gap = Gap("interrupted", "the tracer was killed: what came later is not in the trace")
            self.runs[-1] = replace(self.runs[-1], gaps=(*self.runs[-1].gaps, gap))
            self.ended = True

    def _add_touch(self, line: dict[str, Any]) -> None:
        name = get_path(line, "path")
        state = State(line["was"])
        seconds = checks.seconds(line["t"])
        stat = line.get("stat")
        fingerprint = None if stat is None else checks.fingerprint(stat)
        path = self.paths.get(name)
        if path is None:
            path = self.paths[name] = _Path(state, seconds, fingerprint)
        elif path.state is State.MISSING:
            path.state = state
        if path.fingerprint is None:
            path.fingerprint = fingerprint
        use = Use(line["use"])
        path.uses.add(use)
        path.missed |= state is State.MISSING and use not in _MAKING
        path.processes.add(checks.integer(line["p"]) + self.shift)

    def build(self) -> Trace:
        self._close_run()
        return Trace(
            tuple(self.runs),
            tuple(self.processes[key] for key in sorted(self.processes)),
            {
                name: TracedPath(
                    name,
                    path.state,
                    frozenset(path.uses),
                    tuple(sorted(path.processes)),
                    path.first_seen,
                    path.fingerprint,
                    path.missed,
                )
                for name, path in self.paths.items()
            },
            self.saved,
            tuple(sorted(self.syscalls)),
            None in self.counts,
            tuple(sorted(self.ports, key=lambda port: (port.port, port.protocol))),
            self._sum_counts(),
            tuple(sorted(self.healed)),
            {name: tuple(sorted(seen)) for name, seen in sorted(self.arguments.items())},
            self.is_narrow,
        )

    def _sum_counts(self) -> dict[str, int]:
        """Return call → count over all runs; empty unless every run counted its calls."""
        total: Counter[str] = Counter()
        for counts in self.counts:
            if counts is None:
                return {}
            total += counts
        return dict(sorted(total.items()))


def _parse_end(line: dict[str, Any]) -> dict[str, Any]:
    kinds = {"seconds": checks.seconds, "exit_status": checks.integer, "signal": checks.integer}
    values = {key: None if line[key] is None else kind(line[key]) for key, kind in kinds.items()}
    by, stdin = line.get("interrupted"), line.get("stdin")
    return {
        **values,
        "interrupted": None if by is None else checks.text(by),
        "complete": checks.boolean(line["complete"]),
        "stdin": None if stdin is None else StdinKind(stdin),
    }
