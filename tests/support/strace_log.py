"""Reader of ``strace -ff -y -e trace=%file`` logs: the paths in calls, and the calls' results."""

from __future__ import annotations

import codecs
import glob
import os
import re
from dataclasses import dataclass, field

from slimtrace.tracer.paths import join

TRACED = "%file,bind,connect,fchdir,fork,vfork,clone,clone3"

# Argument numbers: (directory descriptor or None for the cwd, path).
_AT_CWD = (None, 0)
_AT_FIRST = (0, 1)
_PATHS: dict[str, tuple[tuple[int | None, int], ...]] = {
    **dict.fromkeys(("openat", "openat2", "newfstatat", "statx", "faccessat"), (_AT_FIRST,)),
    **dict.fromkeys(("faccessat2", "readlinkat", "mkdirat", "unlinkat"), (_AT_FIRST,)),
    **dict.fromkeys(("fchmodat", "fchownat", "utimensat", "mknodat", "execveat"), (_AT_FIRST,)),
    **dict.fromkeys(("rename", "link"), (_AT_CWD, (None, 1))),
    **dict.fromkeys(("renameat", "renameat2", "linkat"), (_AT_FIRST, (2, 3))),
    "symlink": ((None, 1),),
    "symlinkat": ((1, 2),),
    "inotify_add_watch": ((None, 1),),
    "getcwd": (),
}
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (.*)", re.DOTALL)
_SOCKET = re.compile(r'sun_path="((?:[^"\\]|\\.)*)"')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_FD_PATH = re.compile(r"(?:\d+|AT_FDCWD)<(.*)>", re.DOTALL)
_PID = re.compile(r"(\d+)")
_INTERRUPTED = ("<unfinished ...>", "<detached ...>", " = ?")  # the thread was killed in the call
_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">"}


@dataclass
class Log:
    """The paths that all processes of one run passed to calls: absolute, ``.`` and ``//`` removed.

    :ivar succeeded: paths of calls that succeeded.
    :ivar absent: paths of calls that failed with ENOENT or ENOTDIR.
    :ivar refused: paths of calls that failed with another error.
    :ivar executed: paths in ``succeeded`` that a process executed.
    :ivar links: paths in ``succeeded`` of symlinks that the run made.
    """

    succeeded: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    executed: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)


def read_log(prefix: str, cwd: str) -> Log:
    """Read the log of a run that started in ``cwd``, from the files PREFIX.PID."""
    lines = {}
    for name in glob.glob(f"{prefix}.*"):
        with open(name, encoding="latin-1") as file:
            lines[int(name.rsplit(".", 1)[1])] = file.read().splitlines()
    log, children = Log(), set[int]()
    ends = {pid: _find_children(text) for pid, text in lines.items()}
    for born in ends.values():
        children |= born
    roots = [pid for pid in lines if pid not in children]
    assert len(roots) == 1, f"expected one first process, not {roots}"
    _read_process(log, lines, roots[0], os.fsencode(cwd))
    return log


def _find_children(lines: list[str]) -> set[int]:
    found = (_CALL.match(line) for line in lines)
    return {int(m[3].split()[0]) for m in found if m and _makes_process(m[1]) and m[3][0].isdigit()}


def _makes_process(name: str) -> bool:
    return name in ("fork", "vfork", "clone", "clone3")


def _read_process(log: Log, lines: dict[int, list[str]], pid: int, cwd: bytes) -> None:
    for line in lines[pid]:
        match = _CALL.match(line)
        if match is None:
            assert line.startswith(("---", "+++")) or any(mark in line for mark in _INTERRUPTED), (
                line
            )
            continue
        name, arguments, result = match[1], _split_arguments(match[2]), match[3]
        done = not result.startswith(("-1", "?"))
        if _makes_process(name):
            if done and (child := _PID.match(result)) and int(child[1]) in lines:
                _read_process(log, lines, int(child[1]), cwd)
            continue
        if name == "fchdir":
            cwd = _read_fd_path(arguments[0]) or cwd
            continue
        for path in _find_paths(name, arguments, cwd):
            for kind in _choose_sets(log, name, result):
                kind.add(os.fsdecode(path))
            if name == "chdir" and done:
                cwd = path


def _choose_sets(log: Log, name: str, result: str) -> list[set[str]]:
    """Return the sets that the paths of a call with this result belong to."""
    if result.startswith(("-1 ENOENT", "-1 ENOTDIR")):
        return [log.absent]
    if result.startswith(("-1", "?")):
        return [log.refused]
    also = {"execve": log.executed, "execveat": log.executed}
    also |= {"symlink": log.links, "symlinkat": log.links}
    return [log.succeeded, *([also[name]] if name in also else [])]


def _find_paths(name: str, arguments: list[str], cwd: bytes) -> list[bytes]:
    found = []
    if name in ("bind", "connect"):
        named = _SOCKET.search(arguments[1])
        return [join(cwd, _unescape(named[1]))] if named else []
    for dirfd, number in _PATHS.get(name, (_AT_CWD,)):
        named = _STRING.fullmatch(arguments[number])
        if named is None:
            continue
        raw = _unescape(named[1])
        base = cwd if dirfd is None else _read_fd_path(arguments[dirfd])
        if raw and (base is not None or raw.startswith(b"/")):
            found.append(join(base or b"/", raw))
    return found


def _read_fd_path(argument: str) -> bytes | None:
    """Return the path that -y prints after a descriptor."""
    match = _FD_PATH.fullmatch(argument)
    if match is None or not match[1].startswith("/"):
        return None
    return _unescape(match[1])


def _unescape(text: str) -> bytes:
    return codecs.escape_decode(text.encode("latin-1"))[0]


def _split_arguments(text: str) -> list[str]:
    """Split arguments at commas that are not in a string or bracket."""
    parts, open_until, in_string, start, position = [], list[str](), False, 0, 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char == '"':
            in_string = not in_string
        elif in_string:
            pass
        elif open_until and char == open_until[-1]:
            open_until.pop()
        elif char in _BRACKETS and (char != "<" or text[position - 1].isalnum()):
            open_until.append(_BRACKETS[char])
        elif char == "," and not open_until:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    return [*parts, text[start:].strip()]
