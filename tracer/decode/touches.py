"""Records how a call uses a path, and the other files that the path leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.paths import KERNELS, parent
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.file_permissions import Permissions
from slimtrace.tracer.process.root_view import resolve_parent
from slimtrace.tracer.trace.trace import PathState, State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.path_arguments import PathResolver
    from slimtrace.tracer.record.recorder import Recorder


class TouchRecorder:
    """Records the touches of one call at a time.

    :ivar permissions: what the kernel lets the app's threads do.
    :ivar touches: the touches of the current call.
    :ivar has_magic_link: whether a magic link of /proc led to a file. The touches are then valid
        for this caller and this moment only.
    """

    def __init__(self, recorder: Recorder, resolver: PathResolver) -> None:
        self._recorder = recorder
        self._resolver = resolver
        self._view = recorder.view
        self._history = recorder.history
        self.permissions = Permissions(recorder.view)
        self._inherited = {magic_links.read_link(b"/proc/self/fd/%d" % fd) for fd in range(3)}
        self._links_changed = False
        self._paths_changed = False
        self.touches: list[tuple[Use, PathState]] = []
        self.has_magic_link = False

    @property
    def has_path_changes(self) -> bool:
        """Whether the app changed where paths lead, so that a touch may imply a second path."""
        return self._links_changed or self._history.has_moves

    def begin(self) -> None:
        """Begin the next call."""
        self.touches, self.has_magic_link = [], False

    def record_touch(self, process: int, use: Use, place: PathState) -> None:
        """Record one touch, without the touches that it implies."""
        self.touches.append((use, place))
        self._recorder.queue_touches(process, ((use, place),))

    def record_touches(self, stop: StoppedCall, use: Use, place: PathState) -> None:
        """Record a touch by a stopped thread, and the touches that it implies.

        These are: the file behind a magic link of /proc; the file's path in the full image, if the
        app moved a directory; the file's path with symlinks resolved, if the app changed symlinks,
        because the original path may lead elsewhere in the full image.
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
        """Record that the call creates a missing file, if it may; return what will be there."""
        link = self._resolver.look_up(stop.tid, place.path, follow=False)
        if link.status is not None:  # a dangling symlink: the call creates its target
            self.record_touch(stop.process, Use.READLINK, link)
            place = PathState(self._view.resolve_path(place.path), State.MISSING, None)
        if self.permissions.can_create_in(stop.tid, parent(place.path)):
            self._history.create(place.path)
            place = PathState(place.path, State.CREATED, None)
        self.record_touch(stop.process, Use.CREATE, place)
        return place

    def save_copy(self, tid: int, place: PathState, *, follow: bool, deep: bool = True) -> None:
        """Save a copy of what is at ``place``, which the call changes, moves or deletes.

        What the run created is not saved.

        :param deep: False to save a directory without its content: a directory that is deleted is
            empty, or the call fails.
        """
        if place.status is None:
            return
        path = (self._view.resolve_magic_link(tid, place.path) if follow else None) or place.path
        own = self._view.resolve_path(path) if follow else resolve_parent(self._view, path)
        if not own.startswith(KERNELS):
            self._recorder.save_copy(own, deep=deep)

    def note_path_change(self) -> None:
        """The app creates or moves a symlink or a directory: paths through it lead elsewhere."""
        self._links_changed = self._paths_changed = True

    def record_directory_move(self, old: PathState, new: bytes) -> bool:
        """The app moves a directory; return whether it returns to its path in the full image."""
        return self._history.move(old, new)

    def record_exchange(self, one: PathState, other: PathState) -> None:
        """The app exchanges two names; at least one is a directory."""
        self._history.exchange(one, other)

    def record_link(self, place: PathState) -> None:
        """The app adds a name to a file of the full image.

        It may have written to that name before, so calls on it must be decoded again.
        """
        self._paths_changed = True
        self._history.link(place)

    def record_delete(self, place: PathState) -> None:
        """The app deletes a name: what it creates there later is new."""
        self._history.delete(place)

    def poll_path_changes(self) -> bool:
        """Whether paths changed since the last call of this method."""
        changed, self._paths_changed = self._paths_changed, False
        return changed
