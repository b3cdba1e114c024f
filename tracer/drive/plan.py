"""Prepares driving before the app starts, so that wrong options are reported at once."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.console import verbosity
from slimtrace.tracer.drive.probes import check_not_ready
from slimtrace.tracer.drive.ready import LogLine, Ready, ReadyCommand, parse_ready, parse_statuses
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.drive.answer_log import AnswerLog
    from slimtrace.tracer.drive.app_output import OutputRelay
    from slimtrace.tracer.drive.command_folder import CommandFolder
    from slimtrace.tracer.drive.driver import Driver
    from slimtrace.tracer.engines.engine import Engine
    from slimtrace.tracer.record.recorder import Recorder
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig
    from slimtrace.tracer.trace.trace import DriveOptions


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """How an app will be driven.

    :ivar streams: the relay of the app's output; None if there is no ``--ready``.
    :ivar is_reachable: whether its ports can be reached from this machine.
    :ivar folder: where commands on the host run; None for where slimtrace runs.
    :ivar answers: where to write the answers in full; None for the statuses alone.
    """

    options: DriveOptions
    ready: Ready | None
    streams: OutputRelay | None
    is_reachable: bool
    folder: CommandFolder | None = None
    answers: AnswerLog | None = None

    @property
    def descriptors(self) -> Mapping[int, int]:
        """Descriptor of the app → our descriptor that replaces it."""
        if self.streams is not None:
            return self.streams.descriptors
        if self.answers is not None and not self.options.has_actions:
            return {1: self.answers.output, 2: self.answers.output}  # its output is its answer
        return {}

    @property
    def command_output(self) -> int | None:
        """Our descriptor for the output of commands in the sandbox; None for stderr."""
        return self.answers.output if self.answers is not None else None

    def make_driver(self, engine: Engine, recorder: Recorder, mask: Iterable[int]) -> Driver:
        """Return the driver for this plan.

        :param mask: the signals to block in commands.
        """
        from slimtrace.tracer.drive.actions import Actions  # noqa: PLC0415
        from slimtrace.tracer.drive.driver import Driver  # noqa: PLC0415 -- they take a while to import
        from slimtrace.tracer.drive.http_session import HttpSession  # noqa: PLC0415
        from slimtrace.tracer.drive.shell import HostCommands  # noqa: PLC0415

        def port() -> int | None:
            return recorder.find_first_port() if self.is_reachable else None

        app = engine.app
        commands = HostCommands(app, [*mask], self.folder, self.command_output)
        status, session = self.options.http_status, HttpSession(self.options.http_headers)
        drivers = Actions(app, engine.view, self.ready, status, port, commands, session)
        ports, now = recorder.list_tcp_ports, recorder.elapsed_seconds
        return Driver(self.options, app, drivers, self.streams, ports, now, self.answers)

    def close(self) -> None:
        """Close the streams if the relay did not finish, and the answers."""
        if self.streams is not None:
            self.streams.close()
        if self.answers is not None:
            self.answers.close()


def make_plan(
    driving: DriveOptions,
    sandbox: SandboxConfig | None,
    mask: Iterable[int],
    folder: CommandFolder | None = None,
    answers: AnswerLog | None = None,
) -> DrivePlan:
    """Check the options in ``driving`` and make a plan from them.

    :param sandbox: where the app will run; None for this machine's root.
    :param mask: the signals to block in commands.
    :param folder: where commands on the host run; None for where slimtrace runs.
    :param answers: where to write the answers in full; None for the statuses alone.
    :raises UsageError: an option is wrong.
    :raises SlimtraceError: the condition of ``--ready`` is true before the start, or the app's
        output is closed.
    """
    if driving.stop_signal not in signal.Signals.__members__:
        raise UsageError(f"cannot stop by {driving.stop_signal}: there is no such signal")
    for path in driving.http_get:
        if not path.startswith("/"):
            raise UsageError(f"cannot use --http-get {path}: it is a path, which begins with /")
    parse_statuses(driving.http_status, "--http-status")
    if driving.requests or driving.http_headers:
        from slimtrace.tracer.drive.requests.request_checks import check_requests  # noqa: PLC0415 -- slow to import

        check_requests(driving)
    if driving.ready is None:
        if driving.ready_status is not None:
            raise UsageError("cannot use --ready-status without --ready URL")
        if driving.ready_count is not None:
            raise UsageError("cannot use --ready-count without --ready log:REGEX")
        is_reachable = sandbox is None or sandbox.has_network
        return DrivePlan(driving, None, None, is_reachable, folder, answers)
    cwd = os.getcwd() if sandbox is None else sandbox.workdir
    ready = parse_ready(driving.ready, driving.ready_status, cwd, driving.ready_count)
    if folder is None or not isinstance(ready, ReadyCommand):  # the folder is entered later
        check_not_ready(ready, sandbox, mask)
    from slimtrace.tracer.drive.app_output import OutputRelay  # noqa: PLC0415 -- not needed for usage errors

    # Of images that are compared, the user wants the answers, not the logs of each start.
    is_quiet = answers is not None and not verbosity.verbose
    streams = OutputRelay(ready if isinstance(ready, LogLine) else None, is_quiet=is_quiet)
    is_reachable = sandbox is None or sandbox.has_network
    return DrivePlan(driving, ready, streams, is_reachable, folder, answers)
