"""Records what is done to a place, and what lies behind and beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tracer import tracee
from tracer.model import Place, State, Use
from tracer.paths import parent
from tracer.recorder import own_name

if TYPE_CHECKING:
    from tracer.decode.call import Stop
    from tracer.decode.places import Places
    from tracer.recorder import Recorder

KERNELS = (b"/proc/", b"/dev/", b"/sys/")


class Touching:
    """The touches of one call at a time.

    :ivar made: the touches of the call that is being decoded.
    """

    def __init__(self, recorder: Recorder, places: Places) -> None:
        self._recorder = recorder
        self._places = places
        self._inherited = {tracee.link(b"/proc/self/fd/%d" % fd) for fd in range(3)}
        self._links_changed = False
        self._unsettled = False
        self.made: list[tuple[Use, Place]] = []

    def touch(self, process: int, use: Use, place: Place) -> None:
        """One touch, and nothing besides."""
        self.made.append((use, place))
        self._recorder.touched(process, ((use, place),))

    def touch_all(self, stop: Stop, use: Use, place: Place) -> None:
        """A touch by a stopped thread, and of what else it means.

        That is the file behind a magic link of /proc; where the app moved a directory, the file
        in the full image; and once the app changed links, the file's own path, for what leads
        to it now need not lead there in the full image.
        """
        self.touch(stop.process, use, place)
        origin = self._recorder.origin(place.path) if place.status is not None else None
        if origin is not None:
            self.touch(stop.process, use, Place(origin, State.FILE, place.status))
        if self._links_changed and place.status is not None:
            own = os.path.realpath(place.path)
            if own != place.path:
                self.touch(stop.process, use, self._places.look(stop.tid, own, follow=True))
        hidden = tracee.behind(stop.tid, place.path)
        if hidden is not None and hidden not in self._inherited:
            self.touch(stop.process, use, self._places.look(stop.tid, hidden, follow=True))

    def create(self, stop: Stop, place: Place) -> Place:
        """The call makes what is missing, if it can; what will lie there then."""
        if os.access(parent(place.path), os.W_OK):
            self._recorder.created(place.path)
            place = Place(place.path, State.CREATED, None)
        self.touch(stop.process, Use.CREATE, place)
        return place

    def put_aside(self, tid: int, place: Place, *, follow: bool) -> None:
        """The call changes, moves or deletes what lies at ``place``, if that is not the run's."""
        hidden = tracee.behind(tid, place.path) if follow else None
        if hidden is not None:
            place = self._places.look(tid, hidden, follow=True)
        if place.state is State.FILE and not place.path.startswith(KERNELS):
            own = os.path.realpath(place.path) if follow else own_name(place.path)
            self._recorder.put_aside(own)

    def links_change(self) -> None:
        """The app makes or moves a symlink or a directory: paths through it change meaning."""
        self._links_changed = self._unsettled = True

    def directory_moves(self, old: Place, new: bytes) -> None:
        """The app moves a directory; nothing is to be said of one that the run made."""
        if old.state is State.FILE or self._recorder.origin(old.path) is not None:
            self._recorder.moved(old.path, new)

    def unsettled(self) -> bool:
        """Whether links changed since the last time this was asked."""
        unsettled, self._unsettled = self._unsettled, False
        return unsettled
