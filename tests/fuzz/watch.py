"""A watch on the files that this process accesses, which reports forbidden ones."""

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

# Audit events to the argument numbers of a path and its descriptor (audit_events in Python's
# library reference). The event of os.open has no descriptor, and stat and readlink have no event,
# so these functions are wrapped.
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
_READ_ONLY = {"stat", "lstat", "readlink"}


class Watch:
    """Watches this process inside blocks of :meth:`on`.

    :param places: paths that may be accessed, with everything below them. Their parents may be
        read with stat and readlink, as realpath(3) does.
    """

    def __init__(self, *places: str) -> None:
        self._places = tuple(map(os.path.realpath, places))
        self._above = {above for path in self._places for above in list_parents(path)}
        self._forbidden: list[str] | None = None
        self._busy = False
        for name in ("open", "stat", "lstat", "readlink", "mknod"):
            setattr(os, name, self._wrap(name, getattr(os, name)))
        sys.addaudithook(self._handle_event)

    @contextmanager
    def on(self) -> Iterator[None]:
        """:raises AssertionError: another file was accessed in the block."""
        forbidden: list[str] = []
        self._forbidden = forbidden
        try:
            yield
        finally:
            self._forbidden = None
        assert not forbidden, f"touched outside: {forbidden}"

    def allows(self, path: str) -> bool:
        """Return whether a path leads to an allowed place, without following its last component."""
        target = _resolve(path, None, follow=False)
        return target is None or self._is_in_place(target)

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(path: Any, *arguments: Any, **options: Any) -> Any:
            if self._forbidden is not None and not self._busy:
                if name == "open":
                    follow = not arguments[0] & (os.O_NOFOLLOW | os.O_CREAT)
                else:
                    follow = name == "stat" and options.get("follow_symlinks", True)
                self._check(name, path, options.get("dir_fd"), follow=follow)
            return call(path, *arguments, **options)

        return wrapper

    def _handle_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._forbidden is None or self._busy or event not in _EVENTS:
            return
        for at, dir_at in _EVENTS[event]:
            dir_fd = None if dir_at is None or arguments[dir_at] == -1 else arguments[dir_at]
            if event == "open" and not os.fsencode(_path(arguments[0])).startswith(b"/"):
                continue
            follow = event in _FOLLOWING or (event == "open" and not arguments[2] & os.O_NOFOLLOW)
            self._check(event, arguments[at], dir_fd, follow=follow)

    def _check(self, what: str, path: Any, dir_fd: int | None, *, follow: bool) -> None:
        if path is None or isinstance(path, int) or self._forbidden is None:
            return
        self._busy = True
        try:
            target = _resolve(os.fsdecode(path), dir_fd, follow=follow)
        finally:
            self._busy = False
        if target is None or self._is_in_place(target):
            return
        if not (target in self._above and what in _READ_ONLY):
            self._forbidden.append(f"{what} {path!r}: {target!r}")

    def _is_in_place(self, path: str) -> bool:
        within = (*self._places, *_CODE)
        return path in within or path.startswith(tuple(f"{place}/" for place in within))


def _path(path: Any) -> Any:
    return "" if path is None or isinstance(path, int) else path


def _resolve(path: str, dir_fd: int | None, *, follow: bool) -> str | None:
    """Resolve a path; return None if nothing can exist there."""
    above, slash, name = path.rpartition("/")
    whole = follow or name in {"", ".", ".."}
    place = (
        _resolve_existing(path, dir_fd)
        if whole
        else _resolve_existing((above or slash) or ".", dir_fd)
    )
    if place is None:
        # A missing file would be created at the path itself.
        return _resolve(path, dir_fd, follow=False) if follow and not _is_bare(name) else None
    return place if whole else f"{place.rstrip('/')}/{name}"


def _is_bare(name: str) -> bool:
    return name in {"", ".", ".."}


def _resolve_existing(path: str, dir_fd: int | None) -> str | None:
    try:
        fd = _open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
    except (OSError, ValueError):
        return None
    try:
        return _readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
