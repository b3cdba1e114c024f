"""Starts an image once, untraced: waits until it is ready, sends a request, stops it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.tracer.drive.app_output import CapturedOutput
from slimtrace.tracer.drive.probes import check_not_ready, describe_exit
from slimtrace.tracer.drive.ready import LogLine, TcpPort, Url, parse_ready
from slimtrace.tracer.end_signals import END_SIGNALS, make_stopped_error
from slimtrace.tracer.engines import signals
from slimtrace.tracer.engines.app import App
from slimtrace.tracer.engines.launch.sandbox import SandboxLaunch
from slimtrace.tracer.errors import NoMountsError, SlimtraceError, UsageError
from slimtrace.tracer.image.run_config import (
    choose_command,
    make_image_run,
    parse_image_stop_signal,
)
from slimtrace.tracer.image.runtime import parse_volume
from slimtrace.tracer.process.borrowed_ids import borrow_ids, borrowed_ids
from slimtrace.tracer.process.dispositions import handles_signal
from slimtrace.tracer.sandbox.sandbox_config import make_sandbox_config
from slimtrace.tracer.startup.listening_sockets import SocketWatch, find_listening_sockets
from slimtrace.tracer.startup.readiness import Readiness, send_request
from slimtrace.tracer.startup.trial import StopResult, TrialResult

if TYPE_CHECKING:
    from slimtrace.tracer.drive.ready import Ready
    from slimtrace.tracer.image.opened_image import OpenedImage
    from slimtrace.tracer.image.runtime import ImageRun
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig
    from slimtrace.tracer.startup.trial import Trial


class EndSignals:
    """Remembers the first signal that arrives during :meth:`wait`, which only one thread calls.

    A signal from the terminal also reaches the app, and may end it before this thread sees it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._mask = signals.block_signals()

    def wait(self, seconds: float) -> None:
        """Sleep for ``seconds``, or until a signal arrives."""
        info = signal.sigtimedwait(END_SIGNALS, seconds)
        if info is not None and self.number is None:
            self.number = info.si_signo

    @property
    def mask(self) -> set[int]:
        """The signals that were blocked before."""
        return self._mask

    def finish(self) -> None:
        """Unblock the signals after the end of the app.

        :raises StoppedError: a signal arrived.
        """
        self.wait(0)
        self.restore()
        if self.number is not None:
            raise make_stopped_error("start the image", self.number)

    def restore(self) -> None:
        """Restore the blocked signals of before."""
        signals.restore_mask(self._mask)


_POLL_SECONDS = 0.01
_KILL_INTERVAL_SECONDS = 0.2
"""A process that is killed while it forks may leave a child, so all are killed again."""


def start_image(opened: OpenedImage, trial: Trial) -> TrialResult:
    """Start the image, measure the start, and end all processes that it started.

    The app's output goes only to the result; its input is empty.

    :raises UsageError: a value of the trial cannot be parsed.
    :raises StoppedError: a signal that ends slimtrace arrived.
    :raises SlimtraceError: the sandbox cannot be set up.
    """
    command = choose_command(opened.config, trial.arguments, None)
    inside = _make_image_run(opened, trial)
    ready = None if trial.ready is None else parse_ready(trial.ready, None, inside.workdir)
    try:
        sandbox = make_sandbox_config(inside)
    except UsageError:
        raise
    except SlimtraceError as error:  # for example, the image's user is not in its passwd
        return TrialResult(command, inside.user, failure=error.message)
    if ready is not None and not isinstance(ready, TcpPort | Url):
        check_not_ready(ready, sandbox)
    number = parse_image_stop_signal(opened.config) or signal.SIGTERM
    user = f"{sandbox.account.uid}:{sandbox.account.gid}"
    return _run_trial(TrialResult(command, user), sandbox, trial, ready, number)


def _make_image_run(opened: OpenedImage, trial: Trial) -> ImageRun:
    port = () if trial.port is None else (f"PORT={trial.port}",)
    inside = make_image_run(
        opened.source,
        opened.root,
        opened.digest,
        opened.config,
        env=(*port, *trial.env),
        user=trial.user,
        volumes=tuple(map(parse_volume, trial.volumes)),
    )
    return replace(
        inside,
        read_only=trial.read_only,
        cap_drop=trial.cap_drop,
        no_new_privileges=bool(trial.cap_drop),  # platforms that restrict ask for both
    )


def _run_trial(
    about: TrialResult,
    sandbox: SandboxConfig,
    trial: Trial,
    ready: Ready | None,
    number: signal.Signals,
) -> TrialResult:
    ending = EndSignals()
    printed = CapturedOutput(ready if isinstance(ready, LogLine) else None)
    try:
        before = find_listening_sockets()
        launch = SandboxLaunch(sandbox, about.command, ending.mask, printed.descriptors)
        try:
            guard = launch.start_untraced()
        except NoMountsError as error:
            if trial.volumes:
                raise
            return replace(about, untried=error.message)
        except SlimtraceError as error:
            if error.exit_status == SlimtraceError.exit_status:
                raise
            return replace(about, failure=error.message)
        printed.start()
        app = App(launch, guard)
        listening = SocketWatch(guard.list_processes, before)
        with app.kill_on_error(), borrowed_ids():
            began = time.monotonic()
            launch.execute_app()
            readiness = Readiness(ready, trial, listening, launch.view, printed.lines)
            watched = _TrialRun(app, guard.child, trial, began, ending)
            about = watched.finish(about, readiness, number)
            guard.join()
        about = replace(about, lines=printed.finish())
        try:
            launch.check_executed()
        except SlimtraceError as error:
            about = replace(about, failure=error.message, exit_status=None)
        ending.finish()
    finally:
        printed.close()
        ending.restore()
    return about


@dataclass(frozen=True, slots=True)
class _TrialRun:
    """A started app.

    :ivar supervisor_pid: the supervisor of its sandbox, which ends when the app ends.
    :ivar began: when it was started (time.monotonic()).
    :ivar end_signals: remembers a signal that ends slimtrace.
    """

    app: App
    supervisor_pid: int
    trial: Trial
    began: float
    end_signals: EndSignals

    def finish(
        self, about: TrialResult, readiness: Readiness, number: signal.Signals
    ) -> TrialResult:
        """Wait until the app is ready, send the request, stop the app, and kill what is left."""
        try:
            about = self._wait_until_ready(about, readiness)
            if about.ready is not None and self._is_alive():
                about = self._send_request(about, readiness)
            if about.ready is not None and self._is_alive() and self.trial.grace is not None:
                about = replace(about, stopped=self._stop(number, self.trial.grace))
            if about.stopped is None and about.failure is None:
                about = self._add_exit(about)
        finally:
            self._kill()
        return about

    def _wait_until_ready(self, about: TrialResult, readiness: Readiness) -> TrialResult:
        deadline = self.began + self.trial.ready_timeout
        while self._is_alive():
            listening = readiness.find_listening_sockets()
            if readiness.is_ready(listening):
                seconds = round(time.monotonic() - self.began, 3)
                return replace(about, ready=seconds, listening=readiness.wait_for_port())
            if time.monotonic() > deadline:
                why = readiness.explain_not_ready(listening)
                return replace(about, failure=why, listening=listening)
            self.end_signals.wait(_POLL_SECONDS)
        return about

    def _send_request(self, about: TrialResult, readiness: Readiness) -> TrialResult:
        where = readiness.choose_socket(about.listening)
        if self.trial.request_path is None or where is None:
            return about
        return replace(about, answer=send_request(where, self.trial.request_path))

    def _stop(self, number: signal.Signals, grace: float) -> StopResult:
        borrow_ids(self.app.pid)
        is_handled = handles_signal(self.app.pid, number)
        began = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(self.app.pid, number)  # not App.send: what the app itself does is measured
        while self._is_alive() and time.monotonic() < began + grace:
            self.end_signals.wait(_POLL_SECONDS)
        seconds, was_killed = round(time.monotonic() - began, 3), self._is_alive()
        return StopResult(number.name, seconds, is_handled, was_killed)

    def _add_exit(self, about: TrialResult) -> TrialResult:
        """Add the exit status if the app ended by itself."""
        last = self.app.exit_status
        if last is None:
            return about
        what = "before it was ready" if about.ready is None else "once it was ready"
        failure = f"it ended {what}: {describe_exit(last)}"
        is_fine = last.status == 0 and about.ready is None
        return replace(about, exit_status=last.status, failure=None if is_fine else failure)

    def _is_alive(self) -> bool:
        """Whether the first process is alive, and no signal ends slimtrace."""
        if self.end_signals.number is not None or self.app.exit_status is not None:
            return False
        return os.path.exists(f"/proc/{self.supervisor_pid}")

    def _kill(self) -> None:
        while self.app.exit_status is None and os.path.exists(f"/proc/{self.supervisor_pid}"):
            self.app.kill()
            deadline = time.monotonic() + _KILL_INTERVAL_SECONDS
            while self.app.exit_status is None and time.monotonic() < deadline:
                self.end_signals.wait(_POLL_SECONDS)
