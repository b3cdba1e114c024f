"""What is to be tried with an image, and how that went: data alone, for the builder too."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """One start of an image.

    :ivar words: in the place of the image's Cmd.
    :ivar env: ``NAME=VALUE`` or ``NAME``, as of ``run --env``; ``volumes`` likewise.
    :ivar user: None for the image's.
    :ivar read_only: whether the root cannot be written; ``cap_drop`` names capabilities.
    :ivar port: what is in PORT; None where the platform sets none.
    :ivar ready: as of ``run --ready``; None for the first TCP port that it listens on.
    :ivar ready_timeout: seconds.
    :ivar path: what a request asks for; None where nothing is asked.
    :ivar grace: seconds from the stop signal to SIGKILL; None where it is killed at once.
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
        """Whether others than the container itself can reach it."""
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
    """What came back for a GET.

    :ivar status: of HTTP; None where what came is none of HTTP/1.
    :ivar version: as ``HTTP/1.1``.
    :ivar failure: why there is no status.
    """

    status: int | None
    version: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class StopResult:
    """How it ended after its stop signal.

    :ivar signal: its name.
    :ivar seconds: from the signal to the end of its first process.
    :ivar is_handled: whether its first process handled the signal, or blocked it to wait for it:
        else the kernel drops it, for that is process 1 (pid_namespaces(7)).
    :ivar was_killed: whether it took SIGKILL.
    """

    signal: str
    seconds: float
    is_handled: bool
    was_killed: bool


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How one start went.

    :ivar command: what was started, and as which user.
    :ivar failure: why it could not be started, or never was ready; None where all was well, or
        where it ended by itself with exit status 0.
    :ivar ready: seconds from its exec until it was ready; None where it never was.
    :ivar listening: where it listened then.
    :ivar exit_status: how it ended by itself, 128+N for signal N; None where it did not.
    :ivar lines: the last that it printed.
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

    @property
    def is_job(self) -> bool:
        """Whether it did its work and ended, as no service does."""
        return self.ready is None and self.failure is None and self.exit_status == 0
