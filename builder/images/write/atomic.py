"""Outputs that appear whole or not at all: written beside their place, synced, renamed."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def remove_on_error(path: str) -> Iterator[None]:
    """Leave nothing at ``path`` (a file or a whole tree) when the block fails or is stopped."""
    try:
        yield
    except BaseException:
        remove_path(path)
        raise


def remove_path(path: str) -> None:
    """Remove a file or a whole tree, as far as that is possible."""
    with suppress(OSError):
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return
        # Folders may already have the image's modes, which may forbid to empty them.
        os.chmod(path, 0o700)
        for above, names, _ in os.walk(path):
            for name in names:
                folder = os.path.join(above, name)
                if not os.path.islink(folder):
                    os.chmod(folder, 0o700)
        shutil.rmtree(path)


@contextmanager
def empty_on_error(folder: str) -> Iterator[None]:
    """Leave a folder that was empty empty again when the block fails or is stopped."""
    try:
        yield
    except BaseException:
        for name in os.listdir(folder):
            remove_path(os.path.join(folder, name))
        raise


@contextmanager
def open_replacement(path: str) -> Iterator[BinaryIO]:
    """Open a file that takes ``path``'s place when the block ends well.

    A symlink at ``path`` stays: what it points to is replaced. Mode: the umask's.

    :raises SlimtraceError: it cannot be written.
    """
    place = os.path.realpath(path)
    beside = temporary_name(place)
    with convert_write_errors(path), remove_on_error(beside):
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, place)
        sync_folder(os.path.dirname(place))


def temporary_name(path: str) -> str:
    """A name in ``path``'s folder that nothing has."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.tmp")


def sync_folder(folder: str) -> None:
    """Make the names in a folder last (fsync(2): syncing a file does not sync its name)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check_file(path: str) -> None:
    """See early that :func:`open_replacement` could write ``path``.

    :raises SlimtraceError: its folder is missing or cannot be written, or something that is not
        a file has its name (a rename would replace a device or a pipe).
    """
    place = os.path.realpath(path)
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IFREG
    except OSError as error:
        raise SlimtraceError(f"cannot write {path}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise SlimtraceError(f"cannot write {path}: it is a directory")
    if not stat.S_ISREG(mode):
        raise SlimtraceError(f"cannot write {path}: it is not a regular file")
    check_folder(os.path.dirname(place), path)


def check_folder(folder: str, path: str) -> None:
    """See early that new names can be made in ``folder``, on the way to ``path``.

    :raises SlimtraceError: it is missing, is no folder, or cannot be written.
    """
    if not os.path.lexists(folder):
        raise SlimtraceError(
            f"cannot write {path}: the folder {folder} does not exist", "make it first"
        )
    if not os.path.isdir(folder):
        raise SlimtraceError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise SlimtraceError(f"cannot write {path}: the folder {folder} is not writable")


def choose_work_folder(place: str) -> str:
    """A folder for temporary files near ``place``: the one it lies in, if that is writable."""
    folder = os.path.dirname(place)
    return folder if os.access(folder, os.W_OK | os.X_OK) else tempfile.gettempdir()
