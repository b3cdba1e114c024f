"""What an engine is: a way to observe the app's calls, processes and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.record.recorder import Recorder


class Engine(Protocol):
    """An app that was started, and waits for :meth:`run` before it executes its program.

    :ivar view: how to look at the app's files.
    :ivar stops: the number of calls that were stopped, once the run is over.
    """

    name: str
    app: App
    stops: int
    view: RootView

    def run(self, recorder: Recorder) -> None:
        """Let the app execute its program and record what it does, until its last process ends.

        :raises CannotExecuteError: the app could not be executed.
        :raises OSError: tracing failed in the middle; the app was killed.
        """
