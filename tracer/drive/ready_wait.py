"""Waits until an app is ready, by the condition of ``--ready``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from slimtrace.tracer.drive.probes import (
    ATTEMPT_SECONDS,
    describe_exit,
    explain_not_ready,
    sleep_until,
)
from slimtrace.tracer.drive.ready import Delay, LogLine, ReadyCommand, ReadyFile, TcpPort, Url
from slimtrace.tracer.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slimtrace.tracer.drive.app_output import OutputRelay
    from slimtrace.tracer.drive.probes import Polled
    from slimtrace.tracer.drive.ready import Ready
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.result import ExitStatus

    Condition = Polled | LogLine | ReadyCommand

_POLL_SECONDS = 0.02
_COMMAND_POLL_SECONDS = 0.2
_OUTPUT_SECONDS = 1.0
"""How long to wait for the output that the app wrote at its end."""
_STILL_RAN = "it still ran"
_LONGER = "give it longer with --ready-timeout, or see what it printed"


@dataclass(frozen=True, slots=True)
class ReadyWait:
    """The wait for one app.

    :ivar limit: in seconds; a delay has no limit.
    :ivar list_ports: returns the TCP ports on which the app listened.
    :ivar run_probe: runs a command until it ends, or until a function says that it should end.
    """

    ready: Ready
    limit: float
    app: App
    view: RootView
    streams: OutputRelay
    list_ports: Callable[[], Sequence[int]]
    run_probe: Callable[[str, Callable[[], bool]], ExitStatus | None]

    def wait(self) -> float:
        """Wait until the app is ready; return the seconds that it took.

        :raises DriverError: it took longer, or the app ended.
        """
        began = time.monotonic()
        if isinstance(self.ready, Delay):
            sleep_until(began + self.ready.seconds, self.app)
        else:
            self._poll(self.ready, began + self.limit)
        if self.app.ended.is_set():
            self.streams.settle(_OUTPUT_SECONDS)
            if not self.streams.lines.matched.is_set():
                self._fail_early()
        return time.monotonic() - began

    def _poll(self, ready: Condition, deadline: float) -> None:
        """Wait until the condition is true or the app has ended."""
        pause = _COMMAND_POLL_SECONDS if isinstance(ready, ReadyCommand) else _POLL_SECONDS
        last = ""
        while not self.app.ended.is_set():
            why = self._explain(ready, deadline)
            if why is None:
                return
            if why == _STILL_RAN:  # the deadline ended it: the attempt before says more
                why = last or why
            last = why
            if time.monotonic() > deadline:
                self._fail_late(ready, why)
            self.app.ended.wait(pause)

    def _explain(self, ready: Condition, deadline: float) -> str | None:
        """Return why the app is not ready now, or ""; None if it is ready."""
        match ready:
            case LogLine():
                return None if self.streams.lines.matched.is_set() else ""
            case ReadyCommand():
                return self._explain_command(ready, deadline)
        left = max(_POLL_SECONDS, min(ATTEMPT_SECONDS, deadline - time.monotonic()))
        return explain_not_ready(ready, self.view.open_path, left)

    def _explain_command(self, ready: ReadyCommand, deadline: float) -> str | None:
        def should_end() -> bool:
            is_over = self.app.ended.is_set() or self.app.interrupted is not None
            return is_over or time.monotonic() > deadline

        ended = self.run_probe(ready.command, should_end)
        if ended is None:
            return _STILL_RAN
        return describe_exit(ended) if ended.status else None

    def _fail_late(self, ready: Condition, why: str) -> NoReturn:
        found = self._explain_port(ready)
        causes = "; ".join(filter(None, (why, found)))
        raise DriverError(
            f"cannot drive the app: {self._describe(ready)} in {self.limit:g} s"
            f"{f' ({causes})' if causes else ''}",
            _LONGER if found is None else "let --ready name the port on which it listens",
            self.streams.last_lines(),
        )

    def _fail_early(self) -> NoReturn:
        last = self.app.exit_status
        how = f": {describe_exit(last)}" if last else ""
        message = f"cannot drive the app: it ended before it was ready{how}"
        raise DriverError(message, None, self.streams.last_lines())

    def _explain_port(self, ready: Condition) -> str | None:
        """Say on which port the app listens, if it is another one than it is asked on."""
        match ready:
            case TcpPort():
                expected = ready.port
            case Url():
                from slimtrace.tracer.drive.http import parse_address  # noqa: PLC0415 -- slow to import

                expected = parse_address(ready.url).port
            case _:
                return None
        ports = self.list_ports()
        if not ports or expected in ports:
            return None
        return f"the app listens on {' and '.join(map(str, ports))}"

    def _describe(self, ready: Condition) -> str:
        """Describe what did not happen."""
        match ready:
            case LogLine(count=1):
                return f"it printed no line that matches {ready.pattern.pattern!r}"
            case LogLine():
                found = f"{self.streams.lines.matches} of {ready.count}"
                return f"it printed {found} lines that match {ready.pattern.pattern!r}"
            case ReadyCommand():
                return f"{ready} did not succeed"
            case ReadyFile():
                return f"{ready} did not appear"
        return f"{ready} did not answer"
