"""How processes ended, as their pidfds show it."""

from __future__ import annotations

import os
import signal

import pytest

from slimtrace.tracer.engines.notify.pidfds import EXIT_STATUS_SINCE, Pidfds
from slimtrace.tracer.platform import kernel_version

# xdist's workers have threads; what is forked here ends at once.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_the_exit_status_of_a_reaped_process() -> None:
    if kernel_version() < EXIT_STATUS_SINCE:
        pytest.skip("missing here: Linux 6.15")
    read_end, write_end = os.pipe()
    pids = {}
    pidfds = Pidfds()
    for status in (7, 137):
        pid = os.fork()
        if pid == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os.kill(os.getpid(), signal.SIGKILL) if status > 128 else os._exit(status)
        assert pidfds.keep(pid)
        pids[pid] = status
    assert dict(pidfds.poll_ended()) == {}
    os.close(write_end)
    for pid in pids:
        os.waitpid(pid, 0)
    assert dict(pidfds.poll_ended()) == pids
    assert dict(pidfds.poll_ended()) == {}, "each must be reported once"
    os.close(read_end)
    pidfds.close()
