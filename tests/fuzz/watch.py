"""Sees which files this process touches, and tells of those that it must not."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CODE = tuple(os.path.realpath(place or ".") for place in sys.path)
_open, _readlink = os.open, os.readlink

# Audit events to where in them a path and its descriptor are (audit_events in Python's library
# reference). open(2) and what only looks tell of no descriptor, or nothing: they are wrapped.
_EVENTS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "open": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.getxattr": ((0, None),),
    "os.link": ((0, 2), (1, 3)),
    "os.listdir": ((0, None),),
    "os.listxattr": ((0, None),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.scandir": ((0, None),),
    "os.setxattr": ((0, None),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
}
_FOLLOWING = {"os.listdir", "os.scandir"}
_LOOKING = {"stat", "lstat", "readlink"}


class Watch:
    """Watches from when it is made, within :meth:`on` alone.

    :param places: what may be touched: these and what is below them. What is above them may be
        looked at, as realpath(3) does.
    """

    def __init__(self, *places: str) -> None:
        self._places = tuple(map(os.path.realpath, places))
        self._above = {above for place in self._places for above in list_parents(place)}
        self._found: list[str] | None = None
        self._busy = False
        for name in ("open", "stat", "lstat", "readlink", "mknod"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        sys.addaudithook(self._event)

    @contextmanager
    def on(self) -> Iterator[None]:
        """:raises AssertionError: something else was touched in the block."""
        found: list[str] = []
        self._found = found
        try:
            yield
        finally:
            self._found = None
        assert not found, f"touched outside: {found}"

    def holds(self, path: str) -> bool:
        """Whether a path leads to a place, when its last component is not followed."""
        found = _location(path, None, follow=False)
        return found is None or self._is_in_place(found)

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(path: Any, *words: Any, **options: Any) -> Any:
            if self._found is not None and not self._busy:
                if name == "open":
                    follow = not words[0] & (os.O_NOFOLLOW | os.O_CREAT)
                else:
                    follow = name == "stat" and options.get("follow_symlinks", True)
                self._check(name, path, options.get("dir_fd"), follow=follow)
            return call(path, *words, **options)

        return wrapper

    def _event(self, event: str, words: tuple[Any, ...]) -> None:
        if self._found is None or self._busy or event not in _EVENTS:
            return
        for at, dir_at in _EVENTS[event]:
            dir_fd = None if dir_at is None or words[dir_at] == -1 else words[dir_at]
            if event == "open" and not os.fsencode(_path(words[0])).startswith(b"/"):
                continue
            follow = event in _FOLLOWING or (event == "open" and not words[2] & os.O_NOFOLLOW)
            self._check(event, words[at], dir_fd, follow=follow)

    def _check(self, what: str, path: Any, dir_fd: int | None, *, follow: bool) -> None:
        if path is None or isinstance(path, int) or self._found is None:
            return
        self._busy = True
        try:
            found = _location(os.fsdecode(path), dir_fd, follow=follow)
        finally:
            self._busy = False
        if found is None or self._is_in_place(found):
            return
        if not (found in self._above and what in _LOOKING):
            self._found.append(f"{what} {path!r}: {found!r}")

    def _is_in_place(self, path: str) -> bool:
        within = (*self._places, *_CODE)
        return path in within or path.startswith(tuple(f"{place}/" for place in within))


def _path(path: Any) -> Any:
    return "" if path is None or isinstance(path, int) else path


def _location(path: str, dir_fd: int | None, *, follow: bool) -> str | None:
    """Where a path leads in truth; None where nothing can be there."""
    above, slash, name = path.rpartition("/")
    whole = follow or name in {"", ".", ".."}
    place = _there(path, dir_fd) if whole else _there((above or slash) or ".", dir_fd)
    if place is None:
        # What is not there is made where it is named.
        return _location(path, dir_fd, follow=False) if follow and not _is_bare(name) else None
    return place if whole else f"{place.rstrip('/')}/{name}"


def _is_bare(name: str) -> bool:
    return name in {"", ".", ".."}


def _there(path: str, dir_fd: int | None) -> str | None:
    try:
        fd = _open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
    except (OSError, ValueError):
        return None
    try:
        return _readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
