"""Lets root look at processes of other users where it has no CAP_SYS_PTRACE, as in containers.

There the kernel compares IDs (ptrace(2)): a thread that has the IDs of a process may look at it.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.credentials import drop_file_capabilities, may_look_at_all, take_ids
from slimtrace.tracer.process import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = (0, 0)
_current = threading.local()


def borrow_ids(pid: int) -> None:
    """Take the IDs of a process or thread, in this thread; nothing where that is not needed."""
    if may_look_at_all():
        return
    ids = procfs.read_effective_ids(pid)
    if ids != getattr(_current, "ids", _ROOT):
        with suppress(OSError):
            take_ids(*ids)
            _current.ids = ids


@contextmanager
def borrowed_ids() -> Iterator[None]:
    """Give the IDs back that this thread takes in the context."""
    try:
        yield
    finally:
        if getattr(_current, "ids", _ROOT) != _ROOT:
            take_ids(*_ROOT)
            _current.ids = _ROOT


@contextmanager
def ids_of(pid: int) -> Iterator[None]:
    """Open files in the context with the rights of another process, as far as IDs give them."""
    before = getattr(_current, "ids", _ROOT)
    ids = procfs.read_effective_ids(pid)
    if os.geteuid() != 0:
        yield
        return
    take_ids(*ids)
    try:
        if ids[0] != 0:
            drop_file_capabilities()
        yield
    finally:
        take_ids(*before)
