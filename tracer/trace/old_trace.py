"""What becomes of a trace that exists when another is written: it is moved to ``NAME.old``."""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.remove_tree import remove_tree

_HEADER = b'{"slimtrace":'
"""How the first line of every trace begins."""


class IfExists(Enum):
    """What to do with a trace that exists.

    :cvar MOVE: move it to ``NAME.old``, with its folder.
    :cvar APPEND: add the new run to it.
    :cvar OVERWRITE: delete its content.
    :cvar REFUSE: leave it, and write nothing.
    """

    MOVE = auto()
    APPEND = auto()
    OVERWRITE = auto()
    REFUSE = auto()


def check_existing(path: str, if_exists: IfExists) -> bool:
    """Check, before the app starts, that an existing file may make room for a new trace.

    :returns: whether it is to be moved away; an empty file is not.
    :raises TraceFileError: it may not.
    """
    if if_exists is IfExists.REFUSE:
        raise TraceFileError(
            f"cannot write {path}: it exists, and --no-clobber is given",
            "name another file with -o, or add this run to it with --append",
        )
    if if_exists is not IfExists.MOVE:
        return False
    try:
        status = os.stat(path)
    except FileNotFoundError:  # a dangling link, through which the file is made
        return False
    except OSError as error:
        raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return False  # the writer refuses what is no regular file
    if not _is_trace(path):
        raise TraceFileError(
            f"cannot write {path}: it exists and is no trace",
            "name another file with -o, or overwrite it with --force",
        )
    _check_room(path)
    return True


def move_to_old(path: str) -> None:
    """Rename a trace and its folder; those that were there before are deleted.

    :raises OSError: it is not possible.
    """
    old = f"{path}.old"
    remove_tree(f"{old}.d")
    os.rename(path, old)
    if os.path.lexists(f"{path}.d"):
        os.rename(f"{path}.d", f"{old}.d")


def _check_room(path: str) -> None:
    """:raises TraceFileError: the trace cannot be moved to its new name."""
    old = f"{path}.old"
    failure = f"cannot move {path} to {old}"
    hint = "name another file with -o, or overwrite the trace with --force"
    if os.path.lexists(old) and not (os.path.isfile(old) and _is_trace(old)):
        raise TraceFileError(f"{failure}: {old} exists and is no trace", hint)
    if not os.access(os.path.dirname(path), os.W_OK | os.X_OK):
        raise TraceFileError(f"{failure}: its directory is not writable", hint)
    if os.path.ismount(path):
        raise TraceFileError(f"{failure}: it is a mount point", hint)


def _is_trace(path: str) -> bool:
    """:raises TraceFileError: it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError as error:
        raise TraceFileError(f"cannot read {path}: {error.strerror}") from error
