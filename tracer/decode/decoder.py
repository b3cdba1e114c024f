"""Hands each stopped call to what knows its meaning, and knows what hides calls from a tracer."""

from __future__ import annotations

import errno
import os
from enum import Enum, auto
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import ONCE, CallVerdict
from slimtrace.tracer.decode.exec import ExecDecoder
from slimtrace.tracer.decode.fast_path import FastPath
from slimtrace.tracer.decode.files import FileDecoder
from slimtrace.tracer.decode.path_arguments import PathResolver
from slimtrace.tracer.decode.sockets import SocketDecoder
from slimtrace.tracer.decode.touches import TouchRecorder
from slimtrace.tracer.process import procfs
from slimtrace.tracer.syscalls.table import CLONE_NEW, CallMeaning
from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.record.recorder import Recorder

_MOUNTS = ("mount", "move_mount")
_TRACEME, _ATTACH, _SEIZE = 0, 16, 0x4206  # ptrace(2): the requests that begin to trace
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3  # seccomp(2)


class Listeners(Enum):
    """What becomes of a seccomp listener that the app asks for."""

    REFUSED = auto()
    """The kernel refuses it: there is ours."""
    REFUSE = auto()
    """It would hide calls from our filter: we refuse it as the kernel does."""
    FINE = auto()
    """It hides nothing."""


class Decoder:
    """Decodes the calls of one run.

    :ivar execs: execs under way; whoever hears of an exec commits it.
    :ivar glances: what decodes the commonest calls, which need not be handed to :meth:`decode`.
    :ivar ptraces: whether any tracee is ptraced by us, so that the app cannot ptrace it.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        ptraces: bool = False,
        listeners: Listeners = Listeners.REFUSED,
    ) -> None:
        self.recorder = recorder
        self.ptraces = ptraces
        self._listeners = listeners
        self.places = PathResolver(recorder)
        self._touching = TouchRecorder(recorder, self.places)
        self._files = FileDecoder(self.places, self._touching)
        self.glances = FastPath(recorder, self.places, self._touching)
        self.execs = ExecDecoder(recorder, self.places)
        sockets = SocketDecoder(recorder, self.places, self._files)
        self._handlers: dict[CallMeaning, Callable[[StoppedCall], CallVerdict]] = {
            CallMeaning.PLAIN: self._files.plain,
            CallMeaning.OPEN: self._files.open,
            CallMeaning.OPENAT2: self._files.openat2,
            CallMeaning.RENAME: self._files.rename,
            CallMeaning.EXEC: self.execs.begin,
            CallMeaning.SOCKADDR: sockets.address,
            CallMeaning.SOCKET: sockets.socket,
            CallMeaning.LISTEN: sockets.listen,
            CallMeaning.SOCKETCALL: sockets.socketcall,
            CallMeaning.OWN_ROOT: self._own_root,
            CallMeaning.OWN_FILTER: self._own_filter,
            CallMeaning.OWN_TRACER: self._own_tracer,
            CallMeaning.RING: self._ring,
            CallMeaning.NAMESPACES: self._namespaces,
            CallMeaning.BIRTH: self._namespaces,
            CallMeaning.SEND: sockets.send,
            CallMeaning.NOTED: self._noted,
        }

    def decode(self, stop: StoppedCall) -> CallVerdict:
        """Record what the call is about to do. Raises nothing: a failed look is data.

        A process that the kernel forbids to read is a gap: it runs a program that may be run and
        not read, or hides itself, or has another user whom the tracer has no power over.
        """
        self.recorder.syscall(stop.call.name)
        if stop.call.wide == 4:
            self.recorder.narrow()
        if stop.tid in self.execs:  # its exec failed: the caller made the look-ups
            self.execs.commit(stop.tid, stop.process)
        self._touching.begin()
        try:
            outcome = self._handlers.get(stop.call.signature.meaning, self._noted)(stop)
        except PermissionError:
            exe = procfs.read_program_name(stop.tid)
            self.recorder.gap("unreadable", f"{exe} may not be looked into")
            return ONCE
        except Exception as error:  # noqa: BLE001
            # A fault of ours must not become the app's: what this call meant is not known.
            self.recorder.gap("not-decoded", f"{stop.call.name}: {error}")
            return ONCE
        once = self.places.own_roots or self._touching.own
        return ONCE if once and outcome.refuse is None else outcome

    def again(self, stop: StoppedCall, outcome: CallVerdict) -> bool:
        """Record later, for another process image, what the same call was decoded to before.

        False where that may not hold any more: the call must be decoded.
        """
        if outcome.touches is None:
            return False
        if not self.holds(outcome):
            return False
        is_exec = stop.call.signature.meaning is CallMeaning.EXEC
        if is_exec and not self.execs.is_same(stop.tid, outcome.touches):
            return False
        if stop.tid in self.execs:
            self.execs.commit(stop.tid, stop.process)
        if is_exec:
            self.execs.begin_again(stop, outcome.touches)
        else:
            self.recorder.touched_later(stop.process, outcome.touches)
        return True

    def holds(self, outcome: CallVerdict) -> bool:
        """Whether what was missing is missing still; all else that is known does not change."""
        if outcome.absent is None:
            return True
        path, follow = outcome.absent
        return self.recorder.history.state(path, follow=follow)[0] is State.MISSING

    def unsettled(self) -> bool:
        """Whether paths seen before may mean other files since the last time this was asked."""
        return self._touching.unsettled() or self.places.own_roots

    def _own_root(self, stop: StoppedCall) -> CallVerdict:
        """From here on the caller's paths may start from another root, or cross other mounts."""
        self._files.plain(stop)
        self.places.own_roots = True
        if stop.call.name in _MOUNTS and not self.recorder.view.has_other_root(stop.tid):
            self.recorder.gap("foreign-root", "the app mounts in the image's own root")
        return ONCE

    def _own_filter(self, stop: StoppedCall) -> CallVerdict:
        asked = stop.args[0] == _SET_MODE_FILTER and stop.args[1] & _NEW_LISTENER
        if stop.call.name != "seccomp" or not asked or self._listeners is Listeners.FINE:
            return ONCE
        self.recorder.gap(
            "own-listener", "the app asked for a seccomp listener of its own and was refused"
        )
        return CallVerdict(refuse=errno.EBUSY) if self._listeners is Listeners.REFUSE else ONCE

    def _own_tracer(self, stop: StoppedCall) -> CallVerdict:
        if self.ptraces and _is_traced_by_us(stop):
            self.recorder.gap("own-tracer", "the app uses ptrace, which fails under our own")
        return ONCE

    def _ring(self, _stop: StoppedCall) -> CallVerdict:
        self.recorder.gap(
            "io-uring-refused", "io_uring answered ENOSYS: opens through a ring are invisible"
        )
        return CallVerdict(refuse=errno.ENOSYS)

    def _namespaces(self, stop: StoppedCall) -> CallVerdict:
        if stop.call.name == "clone":
            self.recorder.argument("clone", stop.args[0] & CLONE_NEW)
        return ONCE

    def _noted(self, stop: StoppedCall) -> CallVerdict:
        if stop.call.name == "open_by_handle_at":
            self.recorder.gap("by-handle", "a file was opened by handle: its path is not known")
        return ONCE


def _is_traced_by_us(stop: StoppedCall) -> bool:
    """Whether ptrace is asked to begin with a thread that we trace, which fails: one tracer each.

    A number from another PID namespace says nothing: it is taken for one of ours.
    """
    request = stop.args[0]
    if request not in (_TRACEME, _ATTACH, _SEIZE):
        return False
    if not procfs.has_own_pid_namespace(stop.tid):
        whom = stop.tid if request == _TRACEME else stop.fd(1)
        return procfs.read_tracer_pid(whom) == os.getpid()
    return True
