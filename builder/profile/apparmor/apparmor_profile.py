"""Renders the AppArmor profile (apparmor.d(5)) of an app in its slim image."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from slimtrace.builder.profile.apparmor.kernel_paths import find_kernel_patterns, quote_path
from slimtrace.builder.profile.apparmor.permissions import (
    MAP,
    READ,
    WRITE,
    find_created,
    find_permissions,
    find_volumes,
)
from slimtrace.builder.profile.seccomp.seccomp_rules import find_families
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Selection
    from slimtrace.builder.profile.apparmor.permissions import Permissions
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FAMILIES = {
    2: "inet",
    10: "inet6",
    16: "netlink",
    17: "packet",
    29: "can",
    31: "bluetooth",
    38: "alg",
    40: "vsock",
}
"""Numbers of linux/socket.h to names of apparmor.d(5). Unix sockets are always allowed, because the
tracer does not record socketpair(2)."""
_MOUNTS = {
    "mount": "mount,",
    "umount": "umount,",
    "umount2": "umount,",
    "pivot_root": "pivot_root,",
}
_LETTER_ORDER = ("m", "r", "w", "ix", "k", "l")
_MIN_GLOB_FILES = 4
"""With so many files, one pattern allows the whole folder: the image has no others in it."""
_GLOBBED = ("/usr/", "/opt/", "/lib/")


def check_name(name: str) -> None:
    """:raises UsageError: AppArmor could read it as a path, a pattern or several words."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"cannot use --name {name}: it is not a plain word", "use letters, digits, _, . and -"
        )


def render_profile(trace: Trace, root: Root, selection: Selection, name: str) -> list[str]:
    """The profile's lines. It allows all capabilities: the engine sets those of the container."""
    return [
        "# Written by slimtrace profile.",
        "include <tunables/global>",
        "",
        f"profile {name} flags=(attach_disconnected,mediate_deleted) {{",
        *(f"  {line}" for line in _render_abilities(trace)),
        "",
        *(f"  {line}" for line in _render_files(trace, root, selection)),
        "",
        *(f"  {pattern} {letters}," for pattern, letters in find_kernel_patterns(trace).items()),
        "}",
    ]


def _render_abilities(trace: Trace) -> Iterator[str]:
    yield "capability,"
    yield "network unix,"
    yield "unix,"
    for family in sorted(find_families(trace) & frozenset(_FAMILIES)):
        yield f"network {_FAMILIES[family]},"
    yield "signal (receive),"
    yield "signal (send) peer=@{profile_name},"
    traces = "trace, tracedby, " if "ptrace" in trace.observed_syscalls else ""
    yield f"ptrace ({traces}read, readby) peer=@{{profile_name}},"
    yield from sorted({_MOUNTS[call] for call in _MOUNTS.keys() & set(trace.observed_syscalls)})


def _render_files(trace: Trace, root: Root, selection: Selection) -> Iterator[str]:
    folders, names = find_created(trace, root)
    found = find_permissions(trace, root, selection)
    writable_folders = tuple(f"{folder}/" for folder in folders)
    for path, letters in names.items():
        found[path] = found.get(path, frozenset()) | letters
    for path, letters in found.items():
        if letters == MAP and path.startswith(writable_folders):
            found[path] = READ  # the app may write it: see permissions()
    globs = _find_globs(found)
    for path, letters in sorted(found.items()):
        if letters != MAP or os.path.dirname(path) not in globs:
            yield f"{quote_path(path)} {_join_letters(letters)},"
    for folder in sorted(globs):
        yield f"{quote_path(folder, '/*')} {_join_letters(MAP)},"
    for path in sorted(path for path, letters in names.items() if "ix" not in letters):
        yield f"{quote_path(path, '/{,**}')} {_join_letters(WRITE)},"
    for folder in sorted(folders):
        yield f"{quote_path(folder, '/{,**}')} {_join_letters(WRITE)},"
    for folder, writable in sorted(find_volumes(trace).items()):
        letters = WRITE if writable else READ
        yield f"{quote_path(folder, '{,/**}')} {_join_letters(letters)},"


def _find_globs(found: Permissions) -> frozenset[str]:
    """Folders with enough files that have exactly the permissions MAP."""
    files: dict[str, int] = defaultdict(int)
    for path, letters in found.items():
        if letters == MAP and path.startswith(_GLOBBED):
            files[os.path.dirname(path)] += 1
    return frozenset(folder for folder, number in files.items() if number >= _MIN_GLOB_FILES)


def _join_letters(letters: frozenset[str]) -> str:
    return "".join(letter for letter in _LETTER_ORDER if letter in letters)
