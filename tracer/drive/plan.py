"""Makes ready, before an app starts, what will drive it: bad words are told now."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.drive.probes import check_not_ready
from slimtrace.tracer.drive.ready import LogLine, Ready, parse_ready
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.drive.app_output import OutputRelay
    from slimtrace.tracer.drive.driver import Driver
    from slimtrace.tracer.engines.engine import Engine
    from slimtrace.tracer.record.recorder import Recorder
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig
    from slimtrace.tracer.trace.trace import DriveOptions


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """What is to happen to an app.

    :ivar streams: the app's output, taken; None where nothing is waited for.
    :ivar is_reachable: whether its ports can be reached from here.
    """

    driving: DriveOptions
    ready: Ready | None
    streams: OutputRelay | None
    is_reachable: bool

    @property
    def descriptors(self) -> Mapping[int, int]:
        """The app's descriptors to what is to be put there."""
        return self.streams.descriptors if self.streams is not None else {}

    def make_driver(self, engine: Engine, recorder: Recorder, mask: Iterable[int]) -> Driver:
        """What carries it out.

        :param mask: the signals that commands are to have blocked.
        """
        from slimtrace.tracer.drive.actions import Actions  # noqa: PLC0415
        from slimtrace.tracer.drive.driver import Driver  # noqa: PLC0415 -- they take a while to import
        from slimtrace.tracer.drive.shell import HostCommands  # noqa: PLC0415

        def port() -> int | None:
            return recorder.find_first_port() if self.is_reachable else None

        app = engine.app
        drivers = Actions(app, engine.view, self.ready, port, HostCommands(app, [*mask]))
        return Driver(self.driving, app, drivers, self.streams)

    def close(self) -> None:
        """Let go of the streams where they were not passed on to the end."""
        if self.streams is not None:
            self.streams.close()


def make_plan(driving: DriveOptions, sandbox: SandboxConfig | None) -> DrivePlan:
    """What the words of ``driving`` mean.

    :param sandbox: the image that the app will run in, if any.
    :raises UsageError: they make no sense.
    :raises SlimtraceError: something shows already that the app is ready, or its output is closed.
    """
    if driving.stop_signal not in signal.Signals.__members__:
        raise UsageError(f"cannot stop by {driving.stop_signal}: there is no such signal")
    for path in driving.http_get:
        if not path.startswith("/"):
            raise UsageError(f"cannot use --http-get {path}: it is a path, which begins with /")
    if driving.ready is None:
        if driving.ready_status is not None:
            raise UsageError("cannot use --ready-status without --ready URL")
        return DrivePlan(driving, None, None, sandbox is None or sandbox.has_network)
    cwd = os.getcwd() if sandbox is None else sandbox.workdir
    ready = parse_ready(driving.ready, driving.ready_status, cwd)
    check_not_ready(ready, sandbox)
    from slimtrace.tracer.drive.app_output import OutputRelay  # noqa: PLC0415 -- not needed for usage errors

    streams = OutputRelay(ready.pattern if isinstance(ready, LogLine) else None)
    return DrivePlan(driving, ready, streams, sandbox is None or sandbox.has_network)
