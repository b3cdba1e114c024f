"""The engine ``notify``: only calls with a path wait, for the answer to a seccomp notification.

The app is not ptraced: its births, exits, signals and job control work as without a tracer, and a
debugger may trace it. Only a process in which a signal could interrupt a waiting call is seized
with ptrace as well (restart).
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.decoder import Decoder
from slimtrace.tracer.engines.app import App
from slimtrace.tracer.engines.notify.notify_loop import NotifyLoop
from slimtrace.tracer.engines.notify.pidfds import EXIT_STATUS_SINCE
from slimtrace.tracer.engines.notify.process_tree import ProcessTree
from slimtrace.tracer.engines.notify.restart import AVAILABLE, CallRestarts
from slimtrace.tracer.engines.notify.served_files import ServedFiles
from slimtrace.tracer.errors import CannotTraceError
from slimtrace.tracer.kernel import bpf
from slimtrace.tracer.kernel.seccomp import NotifyListener
from slimtrace.tracer.platform import kernel_version
from slimtrace.tracer.syscalls import abi

if TYPE_CHECKING:
    from slimtrace.tracer.engines.launch.launcher import Launcher
    from slimtrace.tracer.record.recorder import Recorder


class NotifyEngine:
    """One run by notifications. See :class:`slimtrace.tracer.engines.engine.Engine`."""

    name = "notify"

    def __init__(self, launch: Launcher) -> None:
        """Start the app, which waits to be executed.

        :raises CannotTraceError: seccomp, or reading the memory of processes, is refused here.
        """
        # Where the kernel reports later how a process ended, its exit need not be stopped.
        exits = kernel_version() < EXIT_STATUS_SINCE
        machine = platform.machine()
        self._calls = abi.select_calls(machine, handlers=AVAILABLE, reapers=True, exits=exits)
        self._launch = launch
        code = bpf.assemble_filter(abi.group_by_arch(self._calls))
        self._guard, listener = launch.start_under_guard(code)
        self._listener = NotifyListener.open(listener)
        try:
            launch.check_memory()
        except CannotTraceError:
            self._listener.close()
            self._guard.join()
            raise
        self.app = App(launch, self._guard)
        self.view = launch.view
        self.stops = 0

    def run(self, recorder: Recorder) -> None:
        """Let the app go and record what it does, to the end of its last process."""
        decoder = Decoder(recorder)
        tree = ProcessTree(recorder, decoder.execs, self._guard, self._launch)
        restarts = CallRestarts(self._calls, decoder)
        served = ServedFiles(self.view) if self.view.is_copy else None
        loop = NotifyLoop(self._listener, decoder, tree, self._calls, restarts, served)
        self.app.add_periodic_task(tree.settle_overdue)
        with self.app.kill_on_error():
            self._launch.execute_app()
            loop.loop(self._guard.watch.fileno())
        self.stops = loop.stops
        self._guard.join()
        if self.app.exit_status is None:
            raise ChildProcessError(
                "the app's guard was killed, and how the app ended is not known"
            )
        restarts.stop()
        tree.finish()
        self._launch.check_executed()
        decoder.execs.finish()
        recorder.flush()
