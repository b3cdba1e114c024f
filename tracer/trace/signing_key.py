"""The secret by which this user knows own traces again: a file of the user's state folder."""

from __future__ import annotations

import os
import pwd
import secrets
import stat
from contextlib import suppress
from functools import cache

KEY_BYTES = 32
_NAME = "trace.key"


@cache
def load_key() -> bytes:
    """Return this user's key; the first call on a machine makes it.

    Where it cannot be kept (no home, a read-only file system), the key is of this process alone.
    """
    folder = find_state_folder()
    if folder is not None:
        with suppress(OSError):
            return _read_key(folder) or _make_key(folder)
    return secrets.token_bytes(KEY_BYTES)


def find_state_folder() -> str | None:
    """``$XDG_STATE_HOME/slimtrace``, by default in ``~/.local/state`` (basedir-spec).

    A home of another user, which sudo may leave in HOME, is not used: that user could read a key
    there, and a file of ours would be in the way.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return os.path.join(base, "slimtrace")
    home = os.environ.get("HOME", "")
    if not (os.path.isabs(home) and _is_ours(home)):
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return None
    return os.path.join(home, ".local/state/slimtrace")


def _is_ours(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def _read_key(folder: str) -> bytes | None:
    """Return the key; None if there is none.

    :raises OSError: it cannot be read, or another user may know it.
    """
    try:
        fd = os.open(os.path.join(folder, _NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        key = file.read(KEY_BYTES + 1)
    is_secret = stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077
    if status.st_uid != os.geteuid() or not is_secret or len(key) != KEY_BYTES:
        raise PermissionError(f"{folder}/{_NAME} is no secret of this user")
    return key


def _make_key(folder: str) -> bytes:
    """Make the key, unless another process just does.

    :raises OSError: it cannot be written.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, _NAME)
    part = f"{path}.{secrets.token_hex(4)}"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    try:
        with suppress(FileExistsError):
            os.link(part, path)  # appears whole, and never replaces a key
    finally:
        os.unlink(part)
    key = _read_key(folder)
    if key is None:
        raise FileNotFoundError(path)
    return key
