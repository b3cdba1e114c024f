"""What an engine is: a way to hear of the app's calls, processes and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.record.recorder import Recorder


class Engine(Protocol):
    """An app that was launched, or found, and waits to be let go.

    :ivar view: how to look at the app's files.
    :ivar stops: calls that were stopped, once it is over.
    """

    name: str
    app: App
    stops: int
    view: RootView

    def run(self, recorder: Recorder) -> None:
        """Let the app go and record what it does, to the end of its last process.

        :raises CannotExecuteError: the app could not be executed.
        :raises OSError: calls could not be heard of any more; the app was killed.
        """
