"""Records what a call does to a path, and to the files to which the path leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.paths import KERNELS, parent
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.root_view import resolve_parent
from slimtrace.tracer.trace.trace import PathState, State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.path_arguments import PathResolver
    from slimtrace.tracer.record.recorder import Recorder


class TouchRecorder:
    """The touches of one call at a time.

    :ivar made: the touches of the call that is being decoded.
    :ivar own: whether only this caller makes them, and only now: a magic link of /proc led there.
    """

    def __init__(self, recorder: Recorder, resolver: PathResolver) -> None:
        self._recorder = recorder
        self._resolver = resolver
        self._view = recorder.view
        self._history = recorder.history
        self._inherited = {magic_links.read_link(b"/proc/self/fd/%d" % fd) for fd in range(3)}
        self._links_changed = False
        self._paths_changed = False
        self.touches: list[tuple[Use, PathState]] = []
        self.has_magic_link = False

    @property
    def has_path_changes(self) -> bool:
        """Whether the app changed where paths lead, so that a touch may mean a second path."""
        return self._links_changed or self._history.has_moves

    def begin(self) -> None:
        """Begin the next call."""
        self.touches, self.has_magic_link = [], False

    def record_touch(self, process: int, use: Use, place: PathState) -> None:
        """Record one touch, and nothing that it may imply."""
        self.touches.append((use, place))
        self._recorder.queue_touches(process, ((use, place),))

    def record_touches(self, stop: StoppedCall, use: Use, place: PathState) -> None:
        """Record a touch by a stopped thread, and those that it implies.

        These are: the file behind a magic link of /proc; where the app moved a directory, the
        file's path in the full image; once the app changed symlinks, the file's own path, for
        the same path need not lead there in the full image.
        """
        self.record_touch(stop.process, use, place)
        origin = self._history.find_origin(place.path) if place.status is not None else None
        if origin is not None:
            self.record_touch(stop.process, use, PathState(origin, State.FILE, place.status))
        if self._links_changed and place.status and not place.path.startswith(KERNELS):
            own = self._view.resolve_path(place.path)
            if own != place.path:
                self.record_touch(
                    stop.process, use, self._resolver.look_up(stop.tid, own, follow=True)
                )
        self.has_magic_link = self.has_magic_link or magic_links.is_magic_link(place.path)
        hidden = self._view.resolve_magic_link(stop.tid, place.path)
        if hidden is not None and hidden not in self._inherited:
            self.record_touch(
                stop.process, use, self._resolver.look_up(stop.tid, hidden, follow=True)
            )

    def record_create(self, stop: StoppedCall, place: PathState) -> PathState:
        """The call makes what is missing, if it may; returns what will be there then."""
        link = self._resolver.look_up(stop.tid, place.path, follow=False)
        if link.status is not None:  # a dangling symlink: its target is made
            self.record_touch(stop.process, Use.READLINK, link)
            place = PathState(self._view.resolve_path(place.path), State.MISSING, None)
        if self._view.can_create_in(stop.tid, parent(place.path)):
            self._history.create(place.path)
            place = PathState(place.path, State.CREATED, None)
        self.record_touch(stop.process, Use.CREATE, place)
        return place

    def save_copy(self, tid: int, place: PathState, *, follow: bool, deep: bool = True) -> None:
        """The call changes, moves or deletes what is at ``place``: keep it, unless the run made it.

        :param deep: False where a directory is put aside without what is below it: one that is
            deleted is empty by then, or the call fails.
        """
        if place.status is None:
            return
        path = (self._view.resolve_magic_link(tid, place.path) if follow else None) or place.path
        own = self._view.resolve_path(path) if follow else resolve_parent(self._view, path)
        if not own.startswith(KERNELS):
            self._recorder.save_copy(own, deep=deep)

    def note_path_change(self) -> None:
        """The app makes or moves a symlink or a directory: paths through it change meaning."""
        self._links_changed = self._paths_changed = True

    def record_directory_move(self, old: PathState, new: bytes) -> bool:
        """The app moves a directory; True when it comes back to where it was in the full image."""
        return self._history.move(old, new)

    def record_exchange(self, one: PathState, other: PathState) -> None:
        """The app exchanges two names, of directories at least one."""
        self._history.exchange(one, other)

    def record_link(self, place: PathState) -> None:
        """A file of the full image gets another name, which may have been written to before."""
        self._paths_changed = True
        self._history.link(place)

    def record_delete(self, place: PathState) -> None:
        """The app deletes a name: what it makes there later is new."""
        self._history.delete(place)

    def poll_path_changes(self) -> bool:
        """Whether paths changed since the last time that this was called."""
        changed, self._paths_changed = self._paths_changed, False
        return changed
