"""Records what is done to a place, and what lies behind and beside it."""

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
    :ivar own: whether they are the caller's alone, and of this moment: a magic link led to them.
    """

    def __init__(self, recorder: Recorder, places: PathResolver) -> None:
        self._recorder = recorder
        self._places = places
        self._view = recorder.view
        self._history = recorder.history
        self._inherited = {magic_links.read_link(b"/proc/self/fd/%d" % fd) for fd in range(3)}
        self._links_changed = False
        self._unsettled = False
        self.made: list[tuple[Use, PathState]] = []
        self.own = False

    @property
    def changes_meanings(self) -> bool:
        """Whether the app changed where paths lead, so that a touch is more than its own path."""
        return self._links_changed or self._history.has_moves

    def begin(self) -> None:
        """Another call is to be decoded."""
        self.made, self.own = [], False

    def touch(self, process: int, use: Use, place: PathState) -> None:
        """One touch, and nothing besides."""
        self.made.append((use, place))
        self._recorder.touched_later(process, ((use, place),))

    def touch_all(self, stop: StoppedCall, use: Use, place: PathState) -> None:
        """A touch by a stopped thread, and of what else it means.

        That is the file behind a magic link of /proc; where the app moved a directory, the file
        in the full image; and once the app changed links, the file's own path, for what leads
        to it now need not lead there in the full image.
        """
        self.touch(stop.process, use, place)
        origin = self._history.origin(place.path) if place.status is not None else None
        if origin is not None:
            self.touch(stop.process, use, PathState(origin, State.FILE, place.status))
        if self._links_changed and place.status and not place.path.startswith(KERNELS):
            own = self._view.resolve_path(place.path)
            if own != place.path:
                self.touch(stop.process, use, self._places.look(stop.tid, own, follow=True))
        self.own = self.own or magic_links.is_magic_link(place.path)
        hidden = self._view.resolve_magic_link(stop.tid, place.path)
        if hidden is not None and hidden not in self._inherited:
            self.touch(stop.process, use, self._places.look(stop.tid, hidden, follow=True))

    def create(self, stop: StoppedCall, place: PathState) -> PathState:
        """The call makes what is missing, if it can; what will lie there then."""
        link = self._places.look(stop.tid, place.path, follow=False)
        if link.status is not None:  # it leads to nothing: what is made is its target
            self.touch(stop.process, Use.READLINK, link)
            place = PathState(self._view.resolve_path(place.path), State.MISSING, None)
        if self._view.can_create_in(stop.tid, parent(place.path)):
            self._history.create(place.path)
            place = PathState(place.path, State.CREATED, None)
        self.touch(stop.process, Use.CREATE, place)
        return place

    def put_aside(self, tid: int, place: PathState, *, follow: bool, deep: bool = True) -> None:
        """The call changes, moves or deletes what lies at ``place``, if that is not the run's.

        :param deep: False where a directory is put aside alone: one that is deleted is empty
            by then, or the call fails.
        """
        if place.status is None:
            return
        path = (self._view.resolve_magic_link(tid, place.path) if follow else None) or place.path
        own = self._view.resolve_path(path) if follow else resolve_parent(self._view, path)
        if not own.startswith(KERNELS):
            self._recorder.put_aside(own, deep=deep)

    def links_change(self) -> None:
        """The app makes or moves a symlink or a directory: paths through it change meaning."""
        self._links_changed = self._unsettled = True

    def directory_moves(self, old: PathState, new: bytes) -> bool:
        """The app moves a directory; True when it comes back to where it was in the full image.

        Nothing is to be said of one that the run made.
        """
        if old.state is State.FILE or self._history.origin(old.path) is not None:
            return self._history.move(old.path, new)
        return False

    def exchanged(self, one: bytes, other: bytes) -> None:
        """The app exchanges two names, of directories at least one."""
        self._history.exchange(one, other)

    def linked(self, place: PathState) -> None:
        """A file of the full image gets another name, which may have been written to before."""
        self._unsettled = True
        self._history.link(place)

    def deleted(self, place: PathState) -> None:
        """The app deletes a name: what it makes under it later is new."""
        self._history.delete(place)

    def unsettled(self) -> bool:
        """Whether links changed since the last time this was asked."""
        unsettled, self._unsettled = self._unsettled, False
        return unsettled
