"""The thread that drives an app, and stops it."""

from __future__ import annotations

import shlex
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from slimtrace.tracer.console import detail, say
from slimtrace.tracer.drive.probes import sleep_until
from slimtrace.tracer.drive.ready_wait import ReadyWait
from slimtrace.tracer.drive.shell import CommandLimits
from slimtrace.tracer.errors import DriverError
from slimtrace.tracer.trace.trace import DriveResult, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slimtrace.tracer.drive.actions import ActionOutcome, Actions
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
        """:raises DriverError: a driver failed, or had to be ended."""
        for name, shown, run in self._list_drivers():
            began = self.answers.now() if self.answers is not None else 0.0
            try:
                outcome = run(CommandLimits(self.options.exec_timeout, self._deadline))
            except DriverError as error:
                self._add_answer(name, None)
                if self.answers is None or self.app.interrupted is not None:
                    raise
                self.answers.add(name, None, began, self.answers.take_output(), error.message)
                continue
            self._add_answer(name, outcome.status)
            if self.answers is not None:
                content = outcome.content or self.answers.take_output()
                self.answers.add(name, outcome.status, began, content)
            elif outcome.failure is not None:
                raise DriverError(f"cannot drive the app: {shown} {outcome.failure}", outcome.hint)
        if self.options.stop_after is not None and not self.options.has_actions:
            sleep_until(self._deadline, self.app)

    def _list_drivers(self) -> Iterator[tuple[str, str, Callable[[CommandLimits], ActionOutcome]]]:
        """Yield each action's name, its name in messages, and the function that runs it."""
        for path in self.options.http_get:
            yield f"GET {path}", f"GET {path}", partial(self.actions.request, path)
        for command in self.options.commands:
            yield command, repr(command), partial(self.actions.run_outside, command)
        for argv in self.options.inside:
            command = shlex.join(argv)
            yield command, repr(command), partial(self.actions.run_inside, argv)

    def _add_answer(self, name: str, status: int | None) -> None:
        answers = (*self.result.answers, Response(name, status))
        self.result = replace(self.result, answers=answers)

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
