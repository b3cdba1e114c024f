"""Finds out what is at a path now, and whether the full image has it or the run created it."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.process.root_view import resolve_parent
from slimtrace.tracer.record.renames import Renames
from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    import os

    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.trace.trace import PathState

_CLOCK_SLACK_NS = 50_000_000
"""File times come from the kernel's coarse clock, which may be a tick (10 ms) late."""


class PathHistory:
    """Combines the current files (RootView) with the names that the run changed (Renames).

    Paths are those that the app uses: absolute in its root, with unresolved symlinks.

    :ivar renames: all names that the run created, moved or linked.
    """

    def __init__(self, view: RootView) -> None:
        self.renames = Renames()
        self._view = view
        self._stat = view.stat
        self._start_ns = time.time_ns() - _CLOCK_SLACK_NS

    def look_up_state(self, path: bytes, *, follow: bool) -> tuple[State, os.stat_result | None]:
        """Return what is at a path now, while the caller waits.

        :param follow: whether the call follows a symlink in the last component.
        """
        try:
            status = self._stat(path, follow_symlinks=follow)
        except (OSError, ValueError):
            return State.MISSING, None
        return (State.CREATED if self._is_created(path, status) else State.FILE), status

    def classify(self, path: bytes, status: os.stat_result) -> State:
        """Return the state of a path that exists."""
        return State.CREATED if self._is_created(path, status) else State.FILE

    def _is_created(self, path: bytes, status: os.stat_result) -> bool:
        """Whether the run created it, under this name or another name of the same file.

        A file that the run created has an st_ctime after the run began. Older files need no
        further check.
        """
        if not self.renames.created:
            return False
        if self.renames.is_created(path) or self.find_origin(path) is not None:
            return True
        if status.st_ctime_ns < self._start_ns:
            return False
        is_link = stat.S_ISLNK(status.st_mode)
        return self.renames.is_created(
            self._resolve_name(path) if is_link else self._view.resolve_path(path)
        )

    @property
    def has_moves(self) -> bool:
        """Whether a directory of the full image is elsewhere now."""
        return bool(self.renames.moved)

    def find_origin(self, path: bytes) -> bytes | None:
        """Return the path that ``path`` has in the full image; None if it was not moved."""
        return self.renames.find_origin(self._resolve_name(path)) if self.renames.moved else None

    def find_original_name(self, path: bytes) -> bytes | None:
        """Return the name in the full image of what is at ``path``.

        :param path: a path with symlinks resolved.
        :returns: None if nothing is there, or the run created it.
        """
        state, status = self.look_up_state(path, follow=False)
        if status is None or state is State.FILE:
            return None if status is None else path
        return self.renames.find_linked_name((status.st_dev, status.st_ino))

    def create(self, path: bytes) -> None:
        """The app is about to create ``path``, which does not exist."""
        self.renames.create(path)
        self.renames.create(self._resolve_name(path))

    def move(self, old: PathState, new: bytes) -> bool:
        """The app is about to move a directory.

        :returns: whether it returns to its path in the full image.
        """
        is_original = self._is_original(old)
        name, new_name = self._resolve_name(old.path), self._resolve_name(new)
        is_back = self.renames.move(name, new_name, is_original=is_original)
        if is_back:
            self.renames.created -= {new, new_name}
        return is_back

    def exchange(self, one: PathState, other: PathState) -> None:
        """The app is about to exchange two names; at least one is a directory."""
        are_original = self._is_original(one), self._is_original(other)
        self.renames.exchange(
            self._resolve_name(one.path), self._resolve_name(other.path), are_original
        )

    def _is_original(self, place: PathState) -> bool:
        """Whether the full image has this file, at this path or another."""
        return place.state is State.FILE or self.find_origin(place.path) is not None

    def link(self, place: PathState) -> None:
        """The app is about to add a name to a file of the full image."""
        if place.status is not None:
            inode = place.status.st_dev, place.status.st_ino
            self.renames.link(inode, self._resolve_name(place.path))

    def delete(self, place: PathState) -> None:
        """The app is about to delete a name."""
        status = place.status
        is_file = status is not None and stat.S_ISREG(status.st_mode)
        is_created_file = place.state is State.CREATED and is_file
        self.renames.delete(self._resolve_name(place.path), is_created_file=is_created_file)
        if is_created_file:
            self.renames.created.discard(place.path)

    def _resolve_name(self, path: bytes) -> bytes:
        return resolve_parent(self._view, path)
