"""How to start an image for a trial, and the result: types only, also used by the builder."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """One start of an image.

    :ivar arguments: they replace the image's Cmd.
    :ivar env: ``NAME=VALUE`` or ``NAME``, like ``run --env``.
    :ivar volumes: like ``run --volume``.
    :ivar user: None for the image's user.
    :ivar read_only: whether the root is read-only.
    :ivar cap_drop: capabilities to drop.
    :ivar port: the value of PORT; None if the platform does not set it.
    :ivar ready: like ``run --ready``; None for the first TCP port that the app listens on.
    :ivar ready_timeout: seconds.
    :ivar request_path: the path of a GET request; None for no request.
    :ivar grace: seconds from the stop signal to SIGKILL; None to kill the app at once.
    """

    arguments: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    user: str | None = None
    read_only: bool = False
    cap_drop: tuple[str, ...] = ()
    port: int | None = None
    ready: str | None = None
    ready_timeout: float = 60.0
    request_path: str | None = None
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A TCP socket that accepts connections; ``address`` without a zone or brackets."""

    address: str
    port: int

    @property
    def is_outside(self) -> bool:
        """Whether it can be reached from outside the container."""
        address = ipaddress.ip_address(self.address)
        inner = getattr(address, "ipv4_mapped", None) or address
        return not inner.is_loopback

    def __str__(self) -> str:
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a GET request.

    :ivar status: the HTTP status; None if there was no HTTP/1 answer.
    :ivar version: for example ``HTTP/1.1``.
    :ivar failure: why there is no status.
    """

    status: int | None
    version: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class StopResult:
    """How the app ended after the stop signal.

    :ivar signal: the signal's name.
    :ivar seconds: from the signal to the end of the first process.
    :ivar is_handled: whether the first process handled the signal, or blocked it to wait for it.
        Otherwise the kernel ignores the signal, because this is process 1 (pid_namespaces(7)).
    :ivar was_killed: whether SIGKILL was needed.
    """

    signal: str
    seconds: float
    is_handled: bool
    was_killed: bool


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of one start.

    :ivar command: the command that was started.
    :ivar user: the user that it ran as.
    :ivar failure: why it could not be started, or was not ready; None if all was well, or the app
        ended by itself with exit status 0.
    :ivar ready: seconds from its exec until it was ready; None if it was never ready.
    :ivar listening: the sockets on which it listened when it was ready.
    :ivar exit_status: how it ended by itself, 128+N for signal N; None if it did not.
    :ivar lines: the last lines of its output.
    :ivar untried: why it was not started, where this container cannot start it so.
    """

    command: tuple[str, ...]
    user: str = ""
    failure: str | None = None
    ready: float | None = None
    listening: tuple[ListeningSocket, ...] = ()
    exit_status: int | None = None
    answer: HttpAnswer | None = None
    stopped: StopResult | None = None
    lines: tuple[str, ...] = ()
    untried: str | None = None

    @property
    def is_job(self) -> bool:
        """Whether it is a job: it did its work and ended, unlike a service."""
        return self.ready is None and self.failure is None and self.exit_status == 0
