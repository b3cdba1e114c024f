"""Becomes root for what an image needs: mounts, and files of many owners.

An ordinary user can be root in a new user namespace (user_namespaces(7)). With subordinate IDs
(subuid(5)) that namespace has other users too, else root alone.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.namespaces import CLONE_NEWUSER, unshare
from slimtrace.tracer.sandbox.userns import explain_refusal, map_single_user, may_make_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOOLS = {"uid": "newuidmap", "gid": "newgidmap"}


class _Range(NamedTuple):
    """Subordinate ids: ``length`` of them from ``first`` on."""

    first: int
    length: int


def become_root() -> None:
    """Become root, if needed in a user namespace where this process has all capabilities.

    Root stays as it is where it may make no user namespace.

    Call it while the process has one thread (unshare(2)). A second call does nothing.

    :raises SlimtraceError: user namespaces are forbidden; the hint names the setting.
    """
    if os.geteuid() == 0 and may_make_namespaces():
        return
    ranges = {kind: _ranges(kind) for kind in _TOOLS}
    mapped = all(ranges.values()) and all(map(shutil.which, _TOOLS.values()))
    uid, gid = os.geteuid(), os.getegid()
    begin, done = os.pipe()
    helper = os.fork() if mapped else 0
    if helper == 0 and mapped:
        os.close(done)
        os._exit(_map_parent(begin, {"uid": uid, "gid": gid}, ranges))
    os.close(begin)
    try:
        unshare(CLONE_NEWUSER)
    except OSError as error:
        if uid == 0:  # the sandbox must do without namespaces
            return
        raise SlimtraceError(
            f"cannot become root for the image: {error.strerror}", explain_refusal(error)
        ) from error
    finally:
        os.close(done)
        failed = bool(helper) and os.waitpid(helper, 0)[1] != 0
    if mapped and not failed:
        return
    if _is_mapped():  # the helper set one of both: nothing else can be written there
        raise SlimtraceError(
            "cannot become root for the image: newgidmap refused the ranges of /etc/subgid",
            "give this user a range in /etc/subgid that no other user has",
        )
    map_single_user(0, 0, uid, gid)


def _is_mapped() -> bool:
    with open("/proc/self/uid_map", "rb") as file:  # its codec may not be importable any more
        return bool(file.read())


def _map_parent(begin: int, own: dict[str, int], ranges: dict[str, list[_Range]]) -> int:
    """In a process that stays outside: once the parent is in its namespace, map its ids."""
    os.read(begin, 1)
    for kind, tool in _TOOLS.items():
        words = ["0", str(own[kind]), "1"]
        inside = 1
        for first, length in ranges[kind]:
            words += [str(inside), str(first), str(length)]
            inside += length
        done = subprocess.run(
            [tool, str(os.getppid()), *words], check=False, stderr=subprocess.DEVNULL
        )
        if done.returncode != 0:
            return 1
    return 0


def _ranges(kind: str) -> list[_Range]:
    """The caller's lines of /etc/subuid or /etc/subgid, by name or number."""
    uid = os.getuid()
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        names = {str(uid)}
    try:
        with open(f"/etc/sub{kind}", encoding="utf-8", errors="surrogateescape") as file:
            return [*_of(names, file)]
    except OSError:
        return []


def _of(names: set[str], lines: Iterable[str]) -> Iterable[_Range]:
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in names and all(map(str.isdecimal, fields[1:])):
            yield _Range(int(fields[1]), int(fields[2]))
