"""Which of two processes was born first, by their numbers."""

from __future__ import annotations

import os

import pytest

from slimtrace.tracer.engines.notify.birth_order import BirthOrder

# xdist's workers have threads; what is forked here ends at once.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def _run_child(status: int) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(status)
    os.waitpid(pid, 0)
    return pid


def test_the_order_of_process_starts() -> None:
    order = BirthOrder()
    before = order.now()
    child = _run_child(0)
    after = order.now()
    assert order.is_surely_after(child, before)
    assert not order.is_surely_after(child, after)
    assert not order.is_surely_after(child, child)
    assert not order.is_surely_after(child, None)
    order.close()
    assert order.now() is None


def test_the_order_of_process_starts_after_pids_wrap() -> None:
    order = BirthOrder()
    with open("/proc/sys/kernel/pid_max") as file:
        highest = int(file.read())
    assert order.is_surely_after(300, highest - 1)
    assert not order.is_surely_after(highest - 1, 300)
    order.close()
