"""The account that an app runs as inside an image."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.image.accounts import MAX_ID, MAX_TABLE_BYTES, is_valid_id, look_up_account
from slimtrace.tracer.kernel.openat2 import open_in_root


class Account(NamedTuple):
    """``groups`` are the supplementary GIDs."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_account(root: str, user: str) -> Account:
    """The account that container engines run ``USER[:GROUP]`` as; an empty user is root.

    :param root: the image's tree; its symlinks are resolved inside it.
    :raises SlimtraceError: the image has no such user or group, or the kernel has no such ID.
    """
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        uid, gid, groups, home = look_up_account(user, lambda path: _read_table(fd, path))
    finally:
        os.close(fd)
    name, _, group = user.partition(":")
    if uid is None:
        raise _unknown("user", name, "passwd")
    if gid is None:
        raise _unknown("group", group, "group")
    if not all(map(is_valid_id, (uid, gid, *groups))):
        raise SlimtraceError(f"cannot run as {user:.64}: IDs are numbers from 0 to {MAX_ID}")
    return Account(uid, gid, groups, home)


def _unknown(what: str, name: str, table: str) -> SlimtraceError:
    return SlimtraceError(
        f"cannot run as {name}: the image's /etc/{table} has no such {what}",
        "use numbers, for example --user 65532:65532",
    )


def _read_table(root: int, path: str) -> str:
    """The text of a table; empty if it cannot be read, or is no regular file."""
    try:
        fd = open_in_root(root, os.fsencode(path), follow=True)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return ""
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                return file.read(MAX_TABLE_BYTES).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)
    except OSError:
        return ""
