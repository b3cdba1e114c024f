"""Passes each stopped call to the decoder for it; records what may hide calls from the tracer."""

from __future__ import annotations

import errno
import os
import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import UNCACHED, CallVerdict
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

_CREDENTIALS = re.compile(r"(?:set(?:re|res|fs)?[ug]id|setgroups)(?:32)?|capset")
"""Calls by which a thread gets other credentials than it started with (credentials(7))."""
_MOUNTS = ("mount", "move_mount")
_TRACEME, _ATTACH, _SEIZE = 0, 16, 0x4206  # ptrace(2): the requests that begin to trace
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3  # seccomp(2)


class Listeners(Enum):
    """What to do when the app installs a seccomp listener."""

    REFUSED = auto()
    """Do nothing: the kernel refuses a second listener beside ours."""
    REFUSE = auto()
    """Refuse it as the kernel would, because it hides calls from our filter."""
    FINE = auto()
    """Do nothing: it hides no call from this engine."""


class Decoder:
    """Decodes the calls of one run.

    :ivar execs: execs in progress; the engine commits an exec when the kernel has executed it.
    :ivar fast_path: decodes the most common calls, which then need no :meth:`decode`.
    :param own_credentials: whether the app may have other credentials than the tracer.
    :ivar ptraces: whether this engine uses ptrace on the app, so that the app cannot use it.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        ptraces: bool = False,
        listeners: Listeners = Listeners.REFUSED,
        own_credentials: bool = False,
    ) -> None:
        self.recorder = recorder
        self.ptraces = ptraces
        self._listeners = listeners
        self.resolver = PathResolver(recorder)
        self._touches = TouchRecorder(recorder, self.resolver)
        self._touches.permissions.own_credentials |= own_credentials
        self._files = FileDecoder(self.resolver, self._touches)
        self.fast_path = FastPath(recorder, self.resolver, self._touches)
        self.execs = ExecDecoder(recorder, self.resolver)
        sockets = SocketDecoder(recorder, self.resolver, self._files)
        self._handlers: dict[CallMeaning, Callable[[StoppedCall], CallVerdict]] = {
            CallMeaning.PLAIN: self._files.decode_plain,
            CallMeaning.OPEN: self._files.decode_open,
            CallMeaning.OPENAT2: self._files.decode_openat2,
            CallMeaning.RENAME: self._files.decode_rename,
            CallMeaning.EXEC: self.execs.begin,
            CallMeaning.SOCKADDR: sockets.decode_address,
            CallMeaning.SOCKET: sockets.decode_socket,
            CallMeaning.LISTEN: sockets.decode_listen,
            CallMeaning.SOCKETCALL: sockets.decode_socketcall,
            CallMeaning.OWN_ROOT: self._decode_own_root,
            CallMeaning.OWN_FILTER: self._decode_own_filter,
            CallMeaning.OWN_TRACER: self._decode_own_tracer,
            CallMeaning.RING: self._refuse_io_uring,
            CallMeaning.NAMESPACES: self._record_namespaces,
            CallMeaning.BIRTH: self._record_namespaces,
            CallMeaning.SEND: sockets.decode_send,
            CallMeaning.NOTED: self._decode_noted,
        }

    def decode(self, stop: StoppedCall) -> CallVerdict:
        """Record what the call is about to do. It raises nothing: a failure becomes a gap.

        A process whose memory cannot be read is a gap: its program is executable but not readable,
        or it made itself undumpable (prctl(2)), or it runs as a user that the tracer cannot trace.
        """
        self.recorder.record_syscall(stop.call.name)
        if stop.call.wide == 4:
            self.recorder.record_narrow_call()
        if stop.tid in self.execs:  # it failed: its touches belong to the caller's process image
            self.execs.commit(stop.tid, stop.process)
        self._touches.begin()
        try:
            verdict = self._handlers.get(stop.call.signature.meaning, self._decode_noted)(stop)
        except PermissionError:
            exe = procfs.read_program_name(stop.tid)
            self.recorder.record_gap("unreadable", f"the memory of {exe} cannot be read")
            return UNCACHED
        except Exception as error:  # noqa: BLE001
            # A bug here must not stop the app: the gap says that this call was not understood.
            self.recorder.record_gap("not-decoded", f"{stop.call.name}: {error}")
            return UNCACHED
        once = self.resolver.own_roots or self._touches.has_magic_link
        return UNCACHED if once and verdict.refuse is None else verdict

    def repeat(self, stop: StoppedCall, verdict: CallVerdict) -> bool:
        """Record for this caller the touches of an earlier, equal call.

        :returns: False if the verdict may be out of date: the call must be decoded.
        """
        if verdict.touches is None or not self.is_current(verdict):
            return False
        is_exec = stop.call.signature.meaning is CallMeaning.EXEC
        if is_exec and not self.execs.is_same(stop.tid, verdict.touches):
            return False
        if stop.tid in self.execs:
            self.execs.commit(stop.tid, stop.process)
        if is_exec:
            self.execs.begin_again(stop, verdict.touches)
        else:
            self.recorder.queue_touches(stop.process, verdict.touches)
        return True

    def is_current(self, verdict: CallVerdict) -> bool:
        """Whether a missing path is still missing. Nothing else in a verdict changes."""
        if verdict.missing is None:
            return True
        path, follow = verdict.missing
        return self.recorder.history.look_up_state(path, follow=follow)[0] is State.MISSING

    def poll_path_changes(self) -> bool:
        """Whether paths may lead to other files since the last call of this method."""
        return self._touches.poll_path_changes() or self.resolver.own_roots

    def _decode_own_root(self, stop: StoppedCall) -> CallVerdict:
        """From now on the caller's paths may start at another root, or cross other mounts."""
        self._files.decode_plain(stop)
        self.resolver.own_roots = self._touches.permissions.own_credentials = True
        if stop.call.name in _MOUNTS and not self.recorder.view.has_other_root(stop.tid):
            self.recorder.record_gap("foreign-root", "the app mounts in the image's own root")
        return UNCACHED

    def _decode_own_filter(self, stop: StoppedCall) -> CallVerdict:
        wants_listener = stop.args[0] == _SET_MODE_FILTER and stop.args[1] & _NEW_LISTENER
        if stop.call.name != "seccomp" or not wants_listener or self._listeners is Listeners.FINE:
            return UNCACHED
        self.recorder.record_gap(
            "own-listener", "the app could not install a seccomp listener of its own"
        )
        return CallVerdict(refuse=errno.EBUSY) if self._listeners is Listeners.REFUSE else UNCACHED

    def _decode_own_tracer(self, stop: StoppedCall) -> CallVerdict:
        if self.ptraces and _is_traced_by_us(stop):
            self.recorder.record_gap(
                "own-tracer", "the app uses ptrace, which fails while slimtrace uses it"
            )
        return UNCACHED

    def _refuse_io_uring(self, _stop: StoppedCall) -> CallVerdict:
        self.recorder.record_gap(
            "io-uring-refused", "io_uring answered ENOSYS: opens through a ring are invisible"
        )
        return CallVerdict(refuse=errno.ENOSYS)

    def _record_namespaces(self, stop: StoppedCall) -> CallVerdict:
        if stop.call.name == "clone":
            if stop.args[0] & CLONE_NEW:
                self._touches.permissions.own_credentials = True
            self.recorder.record_argument("clone", stop.args[0] & CLONE_NEW)
        return UNCACHED

    def _decode_noted(self, stop: StoppedCall) -> CallVerdict:
        if _CREDENTIALS.fullmatch(stop.call.name):
            self._touches.permissions.own_credentials = True
        if stop.call.name == "open_by_handle_at":
            self.recorder.record_gap(
                "by-handle", "a file was opened by handle: its path is not known"
            )
        return UNCACHED


def _is_traced_by_us(stop: StoppedCall) -> bool:
    """Whether the call would attach to a thread that we trace: it fails (ptrace(2)).

    A PID from another PID namespace cannot be checked: this assumes that we trace it.
    """
    request = stop.args[0]
    if request not in (_TRACEME, _ATTACH, _SEIZE):
        return False
    if not procfs.has_own_pid_namespace(stop.tid):
        tid = stop.tid if request == _TRACEME else stop.fd(1)
        return procfs.read_tracer_pid(tid) == os.getpid()
    return True
