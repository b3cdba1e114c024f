"""The types of a trace: the tracer writes them, everything else reads them.

Paths are ``str`` decoded with the file system's encoding and ``surrogateescape`` (os.fsdecode),
absolute in the root that the app saw, with ``.`` and ``//`` folded and ``..`` kept: folding
``..`` over a symlink would change its meaning (path_resolution(7)).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.trace.drive_steps import DriveStep, StepKind, sort_steps

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from slimtrace.tracer.trace.http_request import HttpRequest


class Use(StrEnum):
    """What one file call meant for one path."""

    EXEC = "exec"
    READ = "read"
    WRITE = "write"
    CREATE = "create"
    DELETE = "delete"
    STAT = "stat"
    READLINK = "readlink"
    LIST = "list"
    CHDIR = "chdir"
    ATTR = "attr"
    CONNECT = "connect"


class State(StrEnum):
    """What was at the path when the call was made."""

    FILE = "file"
    """It existed before the app made or changed it."""
    MISSING = "missing"
    """The lookup found nothing."""
    CREATED = "created"
    """The run made it."""


class StdinKind(StrEnum):
    """Where a run's standard input came from, if it may have read any."""

    TERMINAL = "terminal"
    PIPE = "pipe"
    FILE = "file"
    """It was read: its offset moved."""


class Fingerprint(NamedTuple):
    """The stat(2) of a path's inode when the path was first touched.

    ``mode`` is st_mode with its file type, ``size`` is in bytes, ``mtime_ns`` in nanoseconds.
    """

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        return cls(status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns)


class PathState(NamedTuple):
    """A path that a call names, and what was there before the call was made.

    Here ``path`` is bytes, as the kernel gives it. ``status`` is None if nothing was there.
    """

    path: bytes
    state: State
    status: os.stat_result | None


@dataclass(frozen=True, slots=True)
class ProcessImage:
    """A process between one exec and the next: touches are recorded for process images.

    ``exit_status`` is 128+N if signal N ended it; None if it executed another program, or was
    still alive at the end.
    """

    id: int
    parent: int | None
    run: int
    exe: str
    argv: tuple[str, ...]
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that the tracer knows it may not have seen."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A copy of a file from before the app changed it; it is in the trace's ``.d`` folder.

    ``path`` is the file's path with all symlinks resolved; ``blob`` is the full path of the copy.
    """

    path: str
    blob: str
    fingerprint: Fingerprint


DEFAULT_HTTP_STATUS = "200-399"
"""The statuses that requests of ``--http-get`` may be answered with."""


@dataclass(frozen=True, slots=True)
class DriveOptions:
    """How the app was driven, as command-line options: enough to repeat it.

    :ivar ready: the value of ``--ready``; None if it was not given.
    :ivar ready_status: the value of ``--ready-status``: the expected HTTP status of a URL.
    :ivar ready_count: the value of ``--ready-count``: how many lines must match.
    :ivar ready_timeout: seconds.
    :ivar http_get: paths that were requested.
    :ivar http_status: the value of ``--http-status``: their expected HTTP statuses.
    :ivar http_headers: headers of all requests, as ``NAME: VALUE``, with references.
    :ivar requests: requests with a method, headers and a body.
    :ivar documents: paths of OpenAPI documents of the app, whose operations were requested.
    :ivar crawl: how many links from a requested page were followed; None for none at all.
    :ivar order: the kind of each step; empty for the default order.
    :ivar commands: commands that the shell ran on the host, untraced.
    :ivar inside: commands that ran in the app's image, traced.
    :ivar exec_timeout: seconds for each command.
    :ivar stop_after: seconds; None if only the end of the drivers stops the app.
    :ivar stop_signal: by name.
    :ivar stop_grace: seconds from the stop signal to SIGKILL.
    :ivar directory: where the commands on the host ran, absolute; None if there were none, or an
        older version wrote the trace.
    """

    ready: str | None = None
    ready_status: str | None = None
    ready_timeout: float = 60.0
    http_get: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    inside: tuple[tuple[str, ...], ...] = ()
    exec_timeout: float = 3600.0
    stop_after: float | None = None
    stop_signal: str = "SIGTERM"
    stop_grace: float = 10.0
    directory: str | None = None
    ready_count: int | None = None
    http_status: str = DEFAULT_HTTP_STATUS
    http_headers: tuple[str, ...] = ()
    requests: tuple[HttpRequest, ...] = ()
    documents: tuple[str, ...] = ()
    crawl: int | None = None
    order: tuple[StepKind, ...] = ()

    @property
    def steps(self) -> Iterator[DriveStep]:
        """The requests and commands, in order."""
        return sort_steps(self.step_values, self.order)

    @property
    def step_values(self) -> Mapping[StepKind, Sequence[object]]:
        """The steps of each kind."""
        return {
            StepKind.GET: self.http_get,
            StepKind.REQUEST: self.requests,
            StepKind.OPENAPI: self.documents,
            StepKind.EXEC: self.commands,
            StepKind.EXEC_IN: self.inside,
        }

    @property
    def has_actions(self) -> bool:
        """Whether something drives the app: a request or a command."""
        return any(self.step_values.values())

    @property
    def has_host_commands(self) -> bool:
        """Whether commands run on the host."""
        return bool(self.commands) or (self.ready or "").startswith("exec:")


@dataclass(frozen=True, slots=True)
class Response:
    """How one driver ended.

    :ivar driver: ``GET /path`` or the command.
    :ivar status: an HTTP status, or an exit status (128+N for signal N); None if there was no
        answer, or the command was killed.
    :ivar request: a request that no option names: an answer or a document of the app did.
    """

    driver: str
    status: int | None
    request: HttpRequest | None = None


@dataclass(frozen=True, slots=True)
class DriveResult:
    """How driving an app went.

    :ivar ready: seconds from the start until the app was ready; None if it was never ready.
    :ivar failure: the message of the failure; None if all went well.
    :ivar stopped: whether slimtrace ended the app as planned, after all drivers; else it ended by
        itself, or because of a failure. None in a trace of an older version.
    :ivar unrequested: what answers name for a page to be shown, and no request asked for: paths.
    """

    ready: float | None = None
    answers: tuple[Response, ...] = ()
    failure: str | None = None
    stopped: bool | None = False
    unrequested: tuple[str, ...] = ()


class Seal(NamedTuple):
    """What shows that the reader made a run (:mod:`slimtrace.tracer.trace.seal`).

    :ivar content: what is sealed.
    :ivar code: the seal, in hex.
    """

    content: bytes
    code: str


_GOOD_ENDS = frozenset({None, 0, 128 + signal.SIGINT, 128 + signal.SIGTERM})
"""Exit statuses of a job that went well, and of a service that the user ended; None: unknown."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command, traced once.

    :ivar env: the command's variables that are on the allow-list; never the whole environment.
    :ivar user: ``uid:gid``, numeric.
    :ivar started: ISO 8601 in UTC.
    :ivar seconds: wall time; None if the trace has no end of the run.
    :ivar exit_status: 128+N for signal N; None if unknown.
    :ivar stop_signal: a name such as ``SIGQUIT``; None if the user gave none.
    :ivar volumes: the paths in the image at which the machine's files were mounted.
    :ivar mounts: the same as ``HOST:PATH[:ro]``; HOST is absolute on the tracing machine.
    :ivar before: copies of volumes as they were before the run: target → path.
    :ivar cap_add: capabilities that the app had beside those of a container.
    :ivar network: the network mode of an app in an image.
    :ivar hostname: the host name of an app in an image; None if the user gave none.
    :ivar init: whether a small init was process 1 in the image, and the app its child.
    :ivar no_new_privileges: whether setuid programs and file capabilities had no effect.
    :ivar drive_options: how the app was driven; None if it was not.
    :ivar drive_result: how driving went; None if the app was not driven.
    :ivar interrupted: the name of the signal with which the user ended the run.
    :ivar stdin: where its standard input came from; None if it had none or read none.
    :ivar machine: the machine of uname(2), such as ``x86_64``.
    :ivar modules: JAVA_HOME → the modules from which JVMs loaded classes, if the run was repeated
        to find them; else empty.
    :ivar seal: None in a trace of an older version.
    """

    command: tuple[str, ...]
    cwd: str
    user: str
    env: Mapping[str, str]
    image: str
    image_digest: str | None
    started: str
    machine: str
    engine: str
    stop_signal: str | None = None
    volumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    before: Mapping[str, str] = field(default_factory=dict, hash=False)
    cap_add: tuple[str, ...] = ()
    network: str = "host"
    hostname: str | None = None
    init: bool = False
    no_new_privileges: bool = False
    drive_options: DriveOptions | None = None
    drive_result: DriveResult | None = None
    seconds: float | None = None
    exit_status: int | None = None
    signal: int | None = None
    interrupted: str | None = None
    complete: bool = False
    stdin: StdinKind | None = None
    gaps: tuple[Gap, ...] = ()
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    seal: Seal | None = field(default=None, compare=False, repr=False)

    @property
    def failure(self) -> str | None:
        """Why the run failed: a driver, readiness, or the app itself; None if it did not.

        An app that slimtrace or the user ended did not fail, whatever its exit status.
        """
        driven = self.drive_result
        if driven is not None and driven.failure is not None:
            return driven.failure
        is_stopped = driven is not None and driven.stopped is not False
        if is_stopped or self.interrupted is not None or self.exit_status in _GOOD_ENDS:
            return None
        return f"exit status {self.exit_status}" if self.signal is None else f"signal {self.signal}"


@dataclass(frozen=True, slots=True)
class TracedPath:
    """All touches of one path, combined.

    :ivar processes: ids of the process images that touched it, ascending.
    :ivar first_seen: seconds from the start of the run that touched it first.
    :ivar missed: whether a lookup found nothing, even if the path was created later.
    """

    path: str
    state: State
    uses: frozenset[Use]
    processes: tuple[int, ...]
    first_seen: float
    fingerprint: Fingerprint | None
    missed: bool = False


@dataclass(frozen=True, slots=True)
class ListeningPort:
    """A port on which the app accepted traffic: ``protocol`` is ``tcp`` or ``udp``."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Trace:
    """The record of one or more runs.

    :ivar paths: all touched paths, by name; see :meth:`with_state`.
    :ivar saved: copies of files that the app changed, by resolved path.
    :ivar has_unseen_syscalls: whether a run did not stop all calls: without ``--syscalls all`` the
        most common ones are not stopped.
    :ivar syscall_counts: how often each call was made; empty unless every run stopped all calls.
    :ivar healed: paths that a verification missed and added, sorted.
    :ivar arguments: the values of one important argument of some calls, ascending: the address
        families of ``socket``, and the namespace flags of ``clone``, if any.
    :ivar is_narrow: whether a run used the 32-bit ABI of a 64-bit machine.
    """

    runs: tuple[Run, ...] = ()
    processes: tuple[ProcessImage, ...] = ()
    paths: Mapping[str, TracedPath] = field(default_factory=dict)
    saved: Mapping[str, SavedFile] = field(default_factory=dict)
    observed_syscalls: tuple[str, ...] = ()
    has_unseen_syscalls: bool = False
    listening: tuple[ListeningPort, ...] = ()
    syscall_counts: Mapping[str, int] = field(default_factory=dict)
    healed: tuple[str, ...] = ()
    arguments: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    is_narrow: bool = False

    def with_state(self, state: State) -> list[TracedPath]:
        """The paths in this state, sorted by name."""
        return sorted((p for p in self.paths.values() if p.state is state), key=lambda p: p.path)
