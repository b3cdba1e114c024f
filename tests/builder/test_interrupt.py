"""Signals become exceptions, also where Python drops the first one."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

from slimtrace.builder import interrupt
from slimtrace.tracer.errors import StoppedError


@pytest.fixture(autouse=True)
def repeat_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_REPEAT_SECONDS", 0.1)


@interrupt.raise_on_signals("x")
def drop_the_exception() -> None:
    with suppress(interrupt.StoppedBySignal):  # as in the callback of a weak reference
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


@interrupt.raise_on_signals("x")
def clean_up_slowly(cleaned: list[bool]) -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        time.sleep(0.5)
        cleaned.append(True)


def test_a_signal_whose_exception_was_dropped_is_sent_again() -> None:
    with pytest.raises(StoppedError, match="SIGTERM"):
        drop_the_exception()


def test_a_long_clean_up_is_not_interrupted_by_the_repeat() -> None:
    cleaned: list[bool] = []
    with pytest.raises(StoppedError, match="SIGTERM"):
        clean_up_slowly(cleaned)
    assert cleaned == [True]
