"""Conditions that show that an app is ready: ``--ready`` and the options that refine it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from slimtrace.tracer.errors import UsageError

_BELOW_500 = ((100, 499),)
_PORTS = range(1, 1 << 16)
_MAX_DELAY_SECONDS = 600.0
"""A larger number without a unit is more likely a port."""
_KINDS = (
    "it is no http(s) URL, tcp:PORT, unix:PATH, log:REGEX, exec:CMD, file:PATH or number of seconds"
)


@dataclass(frozen=True, slots=True)
class Delay:
    """Ready after some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TcpPort:
    """Ready when the port accepts a connection."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"port {self.port}"


@dataclass(frozen=True, slots=True)
class Url:
    """Ready when GET returns a status in one of the ranges (inclusive)."""

    url: str
    statuses: tuple[tuple[int, int], ...] = _BELOW_500

    def __str__(self) -> str:
        return self.url

    def accepts(self, status: int) -> bool:
        return is_accepted(status, self.statuses)


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """Ready when the unix socket, by the app's path, accepts a connection."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class ReadyFile:
    """Ready when something exists at the app's path."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class LogLine:
    """Ready when so many lines of the app's stdout or stderr match, anywhere in them."""

    pattern: re.Pattern[str]
    count: int = 1


@dataclass(frozen=True, slots=True)
class ReadyCommand:
    """Ready when the command succeeds, which the shell runs on the host."""

    command: str

    def __str__(self) -> str:
        return repr(self.command)


Ready = Delay | TcpPort | Url | UnixSocket | ReadyFile | LogLine | ReadyCommand


def parse_ready(text: str, statuses: str | None, cwd: str, count: int | None = None) -> Ready:
    """Parse ``--ready``, ``--ready-status`` and ``--ready-count``.

    :param cwd: the app's working directory, for relative paths.
    :raises UsageError: a value is wrong.
    """
    ready = _parse(text, cwd)
    if statuses is not None and not isinstance(ready, Url):
        raise UsageError(f"cannot use --ready-status with --ready {text}: only a URL has a status")
    if count is not None and not isinstance(ready, LogLine):
        raise UsageError(
            f"cannot use --ready-count with --ready {text}: only lines of log:REGEX are counted"
        )
    if count is not None and count < 1:
        raise UsageError(f"cannot use --ready-count {count}: at least one line must match")
    match ready:
        case Url() if statuses is not None:
            return Url(ready.url, parse_statuses(statuses))
        case LogLine() if count is not None:
            return LogLine(ready.pattern, count)
    return ready


def _parse(text: str, cwd: str) -> Ready:
    kind, _, rest = text.partition(":")
    ready: Ready | None = None
    match kind:
        case "http" | "https" if rest.startswith("//") and _is_whole(text):
            ready = Url(text)
        case "tcp":
            ready = _parse_port(text, rest)
        case "unix" if rest:
            ready = UnixSocket(os.path.join(cwd, rest))
        case "file" if rest:
            ready = ReadyFile(os.path.join(cwd, rest))
        case "log" if rest:
            ready = LogLine(_parse_pattern(text, rest))
        case "exec" if rest.strip():
            ready = ReadyCommand(rest)
        case _ if _is_host_and_port(text):
            ready = _parse_port(text, text)
    return ready or _parse_delay(text)


def _is_host_and_port(text: str) -> bool:
    """Whether it is an address as people write it: ``:80``, ``localhost:80``; no misspelt kind."""
    host, colon, port = text.rpartition(":")
    is_host = host in ("", "localhost") or "." in host or host.startswith("[")
    return bool(colon) and is_host and port.isascii() and port.isdigit() and "/" not in host


def _parse_delay(text: str) -> Delay:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        hint = None
        if ":" in text and text.rpartition(":")[2].isdigit():
            hint = f"to wait for a port, say --ready tcp:{text}"
        raise UsageError(f"cannot use --ready {text}: {_KINDS}", hint)
    if seconds > _MAX_DELAY_SECONDS:
        guess = f"; tcp:{seconds:.0f}?" if seconds in _PORTS else ""
        raise UsageError(
            f"cannot use --ready {text}: it would wait {seconds:,.0f} seconds{guess}",
            f"a number is a delay, of at most {_MAX_DELAY_SECONDS:g} seconds",
        )
    return Delay(seconds)


def _is_whole(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number, or too large
        return False


def _parse_port(text: str, rest: str) -> TcpPort:
    host, _, port = rest.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise UsageError(f"cannot use --ready {text}: it is not tcp:PORT or tcp:HOST:PORT")
    if int(port) not in _PORTS:
        raise UsageError(f"cannot use --ready {text}: ports are 1 to 65535")
    return TcpPort(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


def _parse_pattern(text: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"cannot use --ready {text}: {error}") from error


Statuses = tuple[tuple[int, int], ...]
"""Ranges of HTTP statuses, inclusive."""


def parse_statuses(text: str, option: str = "--ready-status") -> Statuses:
    """Parse ``200``, ``2xx``, ``200-399``, or several of them separated by commas, to ranges.

    :raises UsageError: the text is something else.
    """
    return tuple(_parse_status(text, each.strip().lower(), option) for each in text.split(","))


def is_accepted(status: int, statuses: Statuses) -> bool:
    """Whether a status is in one of the ranges."""
    return any(low <= status <= high for low, high in statuses)


def _parse_status(text: str, one: str, option: str) -> tuple[int, int]:
    if found := re.fullmatch("([1-5])xx", one, re.ASCII):
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    if found := re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?", one, re.ASCII):
        low, high = int(found[1]), int(found[2] or found[1])
        if low <= high:
            return low, high
    raise UsageError(
        f"cannot use {option} {text}: it is no status, as 200, 2xx, 200-399 or 200,404"
    )
