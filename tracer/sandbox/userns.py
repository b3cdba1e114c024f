"""Users of a user namespace, and the settings that forbid such namespaces."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.host.container import suggest_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable

_SWITCHES = (  # setting, the value that forbids, the value that allows
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu 23.10
    ("kernel/unprivileged_userns_clone", "0", "1"),  # Debian's kernels
    ("user/max_user_namespaces", "0", "10000"),  # namespaces(7)
)
_CAP_SYS_ADMIN = 21  # linux/capability.h
_REFUSALS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS))


class User(NamedTuple):
    """The IDs of a process inside the sandbox."""

    uid: int
    gid: int


def map_single_user(uid: int, gid: int, outer_uid: int, outer_gid: int) -> None:
    """Map one user of a new user namespace to a user outside. No other user exists in it.

    :raises OSError: EPERM if the outer IDs are not the caller's.
    """
    # Without privilege outside, groups must be given up for good first (user_namespaces(7)).
    _write("setgroups", "deny")
    _write("uid_map", f"{uid} {outer_uid} 1")
    _write("gid_map", f"{gid} {outer_gid} 1")


def is_mapped(user: User) -> bool:
    """Whether the user exists in the caller's user namespace."""
    return _is_in("uid_map", user.uid) and _is_in("gid_map", user.gid)


def is_in_first_namespace() -> bool:
    """Whether the caller is in the machine's first user namespace, where no ID is mapped."""
    return (_read("/proc/self/uid_map") or "").split() == ["0", "0", "4294967295"]


def has_one_user() -> bool:
    """Whether no user but the caller exists in its user namespace."""
    ranges = (_read("/proc/self/uid_map") or "").splitlines()
    return len(ranges) == 1 and ranges[0].split()[2] == "1"


def may_make_namespaces() -> bool:
    """Whether the caller has CAP_SYS_ADMIN, and so may mount in namespaces that it makes."""
    lines = (_read("/proc/self/status") or "").splitlines()
    found = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(found, 16) >> _CAP_SYS_ADMIN & 1)


def find_groups(groups: Iterable[int]) -> tuple[int, ...] | None:
    """The supplementary groups that exist here, of these; None where groups cannot be set.

    Where a user namespace was made without privilege, groups are what they are.
    """
    if _read("/proc/self/setgroups") == "deny":
        return None
    return tuple(group for group in groups if _is_in("gid_map", group))


def switch_user(user: User, groups: Iterable[int] | None) -> None:
    """Switch from root to this user, for good.

    :param groups: supplementary GIDs, from :func:`find_groups`.
    :raises OSError: EPERM without CAP_SETUID and CAP_SETGID.
    """
    try:
        if groups is not None:
            os.setgroups([*groups])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise OSError(error.errno, f"user {user.uid}:{user.gid}: {error.strerror}") from error


def explain_refusal(error: OSError, settings: str = "/proc/sys") -> str | None:
    """The hint after a refusal: the setting to change, if one is the cause.

    :param settings: where sysctl(8) settings are read.
    """
    if error.errno not in _REFUSALS:
        return None
    for name, forbids, allows in _SWITCHES:
        if _read(os.path.join(settings, name)) == forbids:
            dotted = name.replace("/", ".")
            return f"{dotted}={forbids} forbids it: sysctl -w {dotted}={allows}, or run as root"
    return suggest_namespaces()


def _is_in(table: str, number: int) -> bool:
    """Whether an id exists in the caller's user namespace."""
    ranges = (line.split() for line in (_read(f"/proc/self/{table}") or "").splitlines())
    return any(int(first) <= number < int(first) + int(count) for first, _, count in ranges)


def _write(name: str, value: str) -> None:
    path = f"/proc/self/{name}"
    try:
        with open(path, "wb") as file:  # as _read
            file.write(value.encode())
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error


def _read(path: str) -> str | None:
    """The text of a file; None if it cannot be read.

    It is opened in binary mode, because a codec may be a module that Python cannot import any more:
    in a new user namespace the caller may have lost CAP_DAC_READ_SEARCH over the interpreter.
    """
    try:
        with open(path, "rb") as file:
            return file.read().decode().strip()
    except OSError:
        return None
