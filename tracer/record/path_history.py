"""What is at a path now, and whether the full image has it or the run made it."""

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
"""File times come from the kernel's coarse clock, up to a tick behind; doubled and more."""


class PathHistory:
    """Joins what the kernel says of a path (RootView) with what the run did to names (Renames).

    Paths are the app's, absolute in its root, symlinks in them not resolved.

    :ivar renames: what the run did to names, for those who must know all of it.
    """

    def __init__(self, view: RootView) -> None:
        self.renames = Renames()
        self._view = view
        self._stat = view.stat
        self._began_ns = time.time_ns() - _CLOCK_SLACK_NS

    def state(self, path: bytes, *, follow: bool) -> tuple[State, os.stat_result | None]:
        """What is at a path now, while the caller waits.

        :param follow: whether the call follows a symlink in the last component.
        """
        try:
            status = self._stat(path, follow_symlinks=follow)
        except (OSError, ValueError):
            return State.MISSING, None
        return (State.CREATED if self._is_created(path, status) else State.FILE), status

    def state_of(self, path: bytes, status: os.stat_result) -> State:
        """The state of a path at which something is."""
        return State.CREATED if self._is_created(path, status) else State.FILE

    def _is_created(self, path: bytes, status: os.stat_result) -> bool:
        """Whether the run made it: by name, or under another name of the same file.

        What the run made has changed since the run began (st_ctime), so all else needs no look.
        """
        if not self.renames.created:
            return False
        if self.renames.is_created(path) or self.origin(path) is not None:
            return True
        if status.st_ctime_ns < self._began_ns:
            return False
        is_link = stat.S_ISLNK(status.st_mode)
        return self.renames.is_created(
            self._own_name(path) if is_link else self._view.resolve_path(path)
        )

    @property
    def has_moves(self) -> bool:
        """Whether a directory of the full image is elsewhere now."""
        return bool(self.renames.moved)

    def origin(self, path: bytes) -> bytes | None:
        """Where the full image has what is at ``path``; None where it was not moved."""
        return self.renames.origin(self._own_name(path)) if self.renames.moved else None

    def original_name(self, path: bytes) -> bytes | None:
        """The full image's name of what is at ``path``, which is a name with symlinks resolved.

        None where nothing is there, or something that the run made.
        """
        state, status = self.state(path, follow=False)
        if status is None or state is State.FILE:
            return None if status is None else path
        return self.renames.linked_name((status.st_dev, status.st_ino))

    def create(self, path: bytes) -> None:
        """The app is about to make ``path``, where nothing is."""
        self.renames.create(path)
        self.renames.create(self._own_name(path))

    def move(self, old: PathState, new: bytes) -> bool:
        """The app is about to move a directory.

        :returns: whether it comes back to where the full image has it.
        """
        is_original = self._is_original(old)
        name, new_name = self._own_name(old.path), self._own_name(new)
        is_back = self.renames.move(name, new_name, is_original=is_original)
        if is_back:
            self.renames.created -= {new, new_name}
        return is_back

    def exchange(self, one: PathState, other: PathState) -> None:
        """The app is about to exchange two names, of directories at least one."""
        are_original = self._is_original(one), self._is_original(other)
        self.renames.exchange(self._own_name(one.path), self._own_name(other.path), are_original)

    def _is_original(self, place: PathState) -> bool:
        """Whether the full image has what is at a path now, at this path or another."""
        return place.state is State.FILE or self.origin(place.path) is not None

    def link(self, place: PathState) -> None:
        """The app is about to give a file of the full image another name."""
        if place.status is not None:
            inode = place.status.st_dev, place.status.st_ino
            self.renames.link(inode, self._own_name(place.path))

    def delete(self, place: PathState) -> None:
        """The app is about to delete a name."""
        status = place.status
        is_file = status is not None and stat.S_ISREG(status.st_mode)
        is_created_file = place.state is State.CREATED and is_file
        self.renames.delete(self._own_name(place.path), is_created_file=is_created_file)
        if is_created_file:
            self.renames.created.discard(place.path)

    def _own_name(self, path: bytes) -> bytes:
        return resolve_parent(self._view, path)
