"""The thread that drives an app, and stops it."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slimtrace.tracer.console import detail, say
from slimtrace.tracer.drive.probes import sleep_until
from slimtrace.tracer.drive.ready_wait import ReadyWait
from slimtrace.tracer.drive.shell import CommandLimits
from slimtrace.tracer.drive.step_runner import StepRunner
from slimtrace.tracer.errors import DriverError
from slimtrace.tracer.trace.trace import DriveResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slimtrace.tracer.drive.actions import Actions
    from slimtrace.tracer.drive.answer_log import AnswerLog
    from slimtrace.tracer.drive.app_output import OutputRelay
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.trace.trace import DriveOptions

_POLL_SECONDS = 0.1
_KILL_INTERVAL_SECONDS = 1.0
"""A process that is killed while it forks may leave a child, so all are killed again."""


@dataclass(slots=True)
class Driver:
    """Drives one app.

    :ivar streams: the relay of the app's output; None if there is no ``--ready``.
    :ivar list_ports: returns the TCP ports on which the app listened.
    :ivar elapsed_seconds: returns the time since the start of the run.
    :ivar answers: where to write the answers in full; then a failure ends nothing, and the next
        action follows. None for the statuses alone.
    :ivar result: how it went.
    :ivar failure: why driving the app failed, or None.
    """

    options: DriveOptions
    app: App
    actions: Actions
    streams: OutputRelay | None
    list_ports: Callable[[], Sequence[int]]
    elapsed_seconds: Callable[[], float]
    answers: AnswerLog | None = None
    result: DriveResult = field(default_factory=DriveResult)
    failure: DriverError | None = None
    _deadline: float = float("inf")
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the thread; call this before the app starts."""
        if self.streams is not None:
            self.streams.start(self.app)
        if self.answers is not None:
            self.answers.start(self.elapsed_seconds)
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait, after the app's end, until the thread has ended and all output is written."""
        if self._thread is not None:
            self._thread.join()
        if self.streams is not None:
            self.streams.finish()
        if self.answers is not None and not self.options.has_actions:
            ended = self.app.exit_status
            status = ended.status if ended is not None else None
            self.answers.add("", status, 0.0, self.answers.take_output())

    def _run(self) -> None:
        try:
            self._wait_until_ready()
            self._drive()
        except DriverError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 -- after any error the app must be stopped
            self.failure = DriverError(f"cannot drive the app: {error}")
        if self.failure is not None:
            self.result = replace(self.result, failure=self.failure.message)
        if self.failure or self._ends_app:
            self._stop()
        self.actions.host_commands.end()

    @property
    def _ends_app(self) -> bool:
        """Whether the app is stopped after all actions."""
        return self.options.has_actions or self.options.stop_after is not None

    def _wait_until_ready(self) -> None:
        ready = self.actions.ready
        if ready is not None and self.streams is not None:
            wait = ReadyWait(
                ready,
                self.options.ready_timeout,
                self.app,
                self.actions.view,
                self.streams,
                self.list_ports,
                self.actions.probe,
            )
            seconds = wait.wait()
            self.result = replace(self.result, ready=round(seconds, 3))
            if self._ends_app:
                detail(f"ready after {seconds:.1f} s")
            else:
                say(f"ready after {seconds:.1f} s: it runs until Ctrl-C")
        if self.options.stop_after is not None:
            self._deadline = time.monotonic() + self.options.stop_after

    def _drive(self) -> None:
        """:raises DriverError: a step failed, or had to be ended."""
        runner = StepRunner(self.options, self.app, self.actions, self.answers, self._make_limits)
        try:
            runner.run()
        finally:
            self.result = replace(
                self.result,
                answers=tuple(runner.responses),
                unrequested=runner.crawler.unrequested,
            )
        if self.options.stop_after is not None and not self.options.has_actions:
            sleep_until(self._deadline, self.app)

    def _make_limits(self) -> CommandLimits:
        return CommandLimits(self.options.exec_timeout, self._deadline)

    def _stop(self) -> None:
        """Send the stop signal, again to processes that outlive the first one, then SIGKILL."""
        app, grace = self.app, self.options.stop_grace
        is_planned = self.failure is None and app.interrupted is None and app.is_running
        self.result = replace(self.result, stopped=is_planned)
        number = signal.Signals[self.options.stop_signal]
        deadline = time.monotonic() + grace
        app.send(number)
        has_signalled_rest = was_killed = False
        while not app.ended.wait(_POLL_SECONDS):
            if app.exit_status is not None and not has_signalled_rest:
                has_signalled_rest = True
                app.send_all(number)
            if time.monotonic() > deadline:
                if not was_killed:
                    say(f"the app did not end in {grace:g} s after {number.name}: killed")
                was_killed = True
                app.kill()
                deadline = time.monotonic() + _KILL_INTERVAL_SECONDS
