"""Conditions that show that an app is ready: the options ``--ready`` and ``--ready-status``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from slimtrace.tracer.errors import UsageError

_BELOW_500 = ((100, 499),)
_PORTS = range(1, 1 << 16)


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
        return any(low <= status <= high for low, high in self.statuses)


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
    """Ready when a line of the app's stdout or stderr matches, anywhere in it."""

    pattern: re.Pattern[str]


Ready = Delay | TcpPort | Url | UnixSocket | ReadyFile | LogLine


def parse_ready(text: str, statuses: str | None, cwd: str) -> Ready:
    """Parse ``--ready`` and ``--ready-status``.

    :param cwd: the app's working directory, for relative paths.
    :raises UsageError: a value is wrong.
    """
    ready = _parse(text, cwd)
    if statuses is None:
        return ready
    if not isinstance(ready, Url):
        raise UsageError(f"cannot use --ready-status with --ready {text}: only a URL has a status")
    return Url(ready.url, parse_statuses(statuses))


def _parse(text: str, cwd: str) -> Ready:
    kind, _, rest = text.partition(":")
    match kind:
        case "http" | "https" if rest.startswith("//") and _is_whole(text):
            return Url(text)
        case "tcp":
            return _parse_port(text, rest)
        case "unix" if rest:
            return UnixSocket(os.path.join(cwd, rest))
        case "file" if rest:
            return ReadyFile(os.path.join(cwd, rest))
        case "log" if rest:
            return LogLine(_parse_pattern(text, rest))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < float("inf"):
        return Delay(seconds)
    raise UsageError(
        f"cannot use --ready {text}: it is no http(s) URL, tcp:PORT, unix:PATH, log:REGEX, "
        "file:PATH or number of seconds"
    )


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


def parse_statuses(text: str) -> tuple[tuple[int, int], ...]:
    """Parse ``200``, ``2xx``, ``200-399``, or several of them separated by commas, to ranges.

    :raises UsageError: the text is something else.
    """
    return tuple(_parse_status(text, each.strip().lower()) for each in text.split(","))


def _parse_status(text: str, one: str) -> tuple[int, int]:
    if found := re.fullmatch("([1-5])xx", one, re.ASCII):
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    if found := re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?", one, re.ASCII):
        low, high = int(found[1]), int(found[2] or found[1])
        if low <= high:
            return low, high
    raise UsageError(
        f"cannot use --ready-status {text}: it is no status, as 200, 2xx, 200-399 or 200,404"
    )
