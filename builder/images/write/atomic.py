"""Atomic outputs: written to a temporary name in the same folder, synced, renamed."""

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
    """Remove ``path`` (a file or a whole tree) if the block fails or is interrupted."""
    try:
        yield
    except BaseException:
        remove_path(path)
        raise


def remove_path(path: str) -> None:
    """Remove a file or a whole tree, as far as possible."""
    with suppress(OSError):
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return
        # Folders may have the image's modes already, which can forbid to remove files in them.
        os.chmod(path, 0o700)
        for above, names, _ in os.walk(path):
            for name in names:
                folder = os.path.join(above, name)
                if not os.path.islink(folder):
                    os.chmod(folder, 0o700)
        shutil.rmtree(path)


@contextmanager
def empty_on_error(folder: str) -> Iterator[None]:
    """Empty a folder again if the block fails or is interrupted."""
    try:
        yield
    except BaseException:
        for name in os.listdir(folder):
            remove_path(os.path.join(folder, name))
        raise


@contextmanager
def open_replacement(path: str) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` when the block ends without an error.

    A symlink at ``path`` stays: its target is replaced. The mode follows the umask.

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
    """An unused name in ``path``'s folder."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.tmp")


def sync_folder(folder: str) -> None:
    """Sync the names in a folder (fsync(2): syncing a file does not sync its name)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check_file(path: str) -> None:
    """Check early that :func:`open_replacement` can write ``path``.

    :raises SlimtraceError: its folder is missing or not writable, or ``path`` is not a regular file
        (a rename would replace a device or a pipe).
    """
    place = os.path.realpath(path)
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IFREG
    except OSError as error:
        raise SlimtraceError(f"cannot write {path}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise SlimtraceError(f"cannot write {path}: it is a directory", "name a file in it")
    if not stat.S_ISREG(mode):
        raise SlimtraceError(f"cannot write {path}: it is not a regular file", "name another file")
    check_folder(os.path.dirname(place), path)


def check_folder(folder: str, path: str) -> None:
    """Check early that files can be made in ``folder``, in order to write ``path``.

    :raises SlimtraceError: it is missing, is not a folder, or is not writable.
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
    """The folder for temporary files: that of ``place`` if it is writable, else TMPDIR."""
    folder = os.path.dirname(place)
    return folder if os.access(folder, os.W_OK | os.X_OK) else tempfile.gettempdir()
