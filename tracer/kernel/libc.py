"""The C library, twice: with the interpreter lock released around a call, and kept.

A call that may block goes through ``releasing``; one that returns at once goes through
``keeping``, which spares two lock operations, a tenth of what a stop costs.
"""

from __future__ import annotations

import ctypes
import os

releasing = ctypes.CDLL(None, use_errno=True)
keeping = ctypes.PyDLL(None, use_errno=True)


def last_error(subject: str) -> OSError:
    """The OSError of the call that just failed, with what it was about."""
    number = ctypes.get_errno()
    return OSError(number, f"{subject}: {os.strerror(number)}")
