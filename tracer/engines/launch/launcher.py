"""What an engine starts: a command that waits to be executed, on the host or in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from slimtrace.tracer.engines.launch.guard import Guard
    from slimtrace.tracer.engines.launch.spawner import Spawner
    from slimtrace.tracer.process.root_view import RootView


class Launcher(Protocol):
    """A command to execute, on the host (``host.HostLaunch``) or in an image (``SandboxLaunch``).

    An engine calls :meth:`start_under_guard`, or :meth:`start_seized` and :meth:`fork_app`; then
    :meth:`check_memory`, :meth:`execute_app` and, at the end of the app, :meth:`check_executed`.

    :ivar app_pid: the app's first process, once it was forked.
    :ivar app_is_process_one: whether it is process 1 of a PID namespace.
    :ivar helpers: processes of slimtrace that are traced with the app, and are no part of it: what
        supervises a sandbox, and its reaper.
    """

    app_pid: int
    app_is_process_one: bool
    helpers: frozenset[int]

    @property
    def spawner(self) -> Spawner | None:
        """Starts further commands in the sandbox; None on the host."""

    @property
    def view(self) -> RootView:
        """How to look at the app's files, once the app was forked."""

    def start_under_guard(self, code: bytes) -> tuple[Guard, int]:
        """Fork a child under a guard, with the seccomp filter ``code``.

        :returns: the guard, and the descriptor on which the filter's notifications arrive.
        :raises CannotTraceError: seccomp is refused here.
        """

    def start_seized(self, code: bytes | None, options: int) -> int:
        """Fork a child and seize it for ptrace, with the filter ``code`` where that is not None.

        The thread that will run the ptrace loop must call this, before other threads exist.

        :returns: the process that was seized: the app, or the supervisor of the sandbox.
        :raises CannotTraceError: ptrace or seccomp is refused here.
        """

    def fork_app(self) -> int:
        """After :meth:`start_seized`: have the supervisor fork the app.

        :returns: the generation of the app: 0 is the process that was seized, 1 its child.
        """

    def check_memory(self) -> None:
        """Check that the child's memory can be read; if not, the child ends.

        :raises CannotTraceError: it cannot.
        """

    def execute_app(self) -> None:
        """Let the child execute the app, unless it was killed meanwhile."""

    def check_executed(self) -> None:
        """After the app's end: check that it was executed at all.

        :raises CannotExecuteError: the exec failed.
        """
