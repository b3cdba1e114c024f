"""Seccomp filters and user notification (seccomp(2), seccomp_unotify(2))."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import platform
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel import bpf
from slimtrace.tracer.kernel.libc import keeping, last_error, releasing

if TYPE_CHECKING:
    from collections.abc import Callable

_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
FLAG_NEW_LISTENER = 1 << 3  # Linux 5.0
FLAG_WAIT_KILLABLE_RECV = 1 << 5  # Linux 5.19
_PR_SET_NO_NEW_PRIVS = 38

_REQUEST_SIZE = 80  # struct seccomp_notif
_RESPONSE_SIZE = 24  # struct seccomp_notif_resp
_EINVAL = 22
_FLAG_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5
_FD_SYNC_WAKE_UP = 1  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6


def _ioc(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("!") << 8 | number


_RECV = _ioc(3, 0, _REQUEST_SIZE)
_SEND = _ioc(3, 1, _RESPONSE_SIZE)
_ID_VALID = _ioc(1, 2, 8)
_ADD_FD = _ioc(1, 3, 24)
_ADD_FD_AND_SEND = 1 << 1  # SECCOMP_ADDFD_FLAG_SEND, Linux 5.14
_SET_FLAGS = _ioc(1, 4, 8)

_POINTER_IOCTL = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
_quick_ioctl = keeping.ioctl
_quick_ioctl.argtypes = _POINTER_IOCTL


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def set_no_new_privs() -> None:
    """Gain no privileges by exec any more; then an unprivileged task may install a filter."""
    if releasing.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise last_error("no_new_privs")


def install_filter(program: bytes, flags: int) -> int:
    """Install a filter for the calling thread and its future children.

    :param program: struct sock_filter, 8 bytes each.
    :returns: the listener's descriptor with FLAG_NEW_LISTENER, else 0.
    :raises OSError: EBUSY where another filter has a listener, EINVAL for an unknown flag,
        EACCES without CAP_SYS_ADMIN and no_new_privs.
    """
    code = ctypes.create_string_buffer(program, len(program))
    prog = _Program(len(program) // 8, ctypes.addressof(code))
    number = _SYS_SECCOMP[platform.machine()]
    result: int = releasing.syscall(number, _SET_MODE_FILTER, flags, ctypes.byref(prog))
    if result < 0:
        raise last_error("seccomp filter")
    return result


def assemble_allow_all() -> bytes:
    """A filter that lets every call through."""
    return bpf.assemble_filter({})


@dataclass(slots=True)
class NotifyListener:
    """The tracer's end of user notification: one request and one response buffer, reused.

    The loop that answers reads the request through memory views, which costs no call:

    :ivar fields: the request as u64: [0] the id, [2] arch<<32|number, [3] the address
        after the instruction that calls, [4:10] the arguments.
    :ivar int_fields: the request as s32: [2] the thread id.
    :ivar answer: the response as u64: [0] the id.
    :ivar receive: waits for the next request; raises OSError where none comes.
    :ivar proceed: lets the call go on; raises OSError when the caller is gone (ENOENT).
    """

    fd: int
    fields: memoryview
    int_fields: memoryview
    answer: memoryview
    receive: Callable[[], object]
    proceed: Callable[[], object]
    _request: ctypes.Array[ctypes.c_char]
    _response: ctypes.Array[ctypes.c_char]

    @classmethod
    def open(cls, fd: int) -> NotifyListener:
        request = ctypes.create_string_buffer(_REQUEST_SIZE)
        response = ctypes.create_string_buffer(_RESPONSE_SIZE)
        request_bytes = memoryview(request).cast("B")
        response_bytes = memoryview(response).cast("B")
        response_bytes.cast("I")[5] = _FLAG_CONTINUE
        _quick_ioctl(fd, _SET_FLAGS, _FD_SYNC_WAKE_UP)  # wake on the same core
        return cls(
            fd,
            request_bytes.cast("Q"),
            request_bytes.cast("i"),
            response_bytes.cast("Q"),
            # fcntl.ioctl takes half the time of a call through ctypes.
            functools.partial(fcntl.ioctl, fd, _RECV, request_bytes, True),
            functools.partial(fcntl.ioctl, fd, _SEND, response_bytes, True),
            request,
            response,
        )

    def refuse(self, errno: int) -> None:
        """Make the call that was received fail with ``errno`` instead of going on."""
        ints = memoryview(self._response).cast("B").cast("i")
        self.answer[0] = self.fields[0]
        ints[4], ints[5] = -errno, 0
        _quick_ioctl(self.fd, _SEND, ctypes.addressof(self._response))
        ints[4], ints[5] = 0, _FLAG_CONTINUE

    def give(self, fd: int, flags: int) -> bool:
        """Put a copy of a descriptor into the caller, as the result of the call.

        :param flags: O_CLOEXEC or 0.
        :returns: False where the kernel does not do that; then the call still waits.
        """
        request = struct.pack("QIIII", self.fields[0], _ADD_FD_AND_SEND, fd, 0, flags)
        try:
            fcntl.ioctl(self.fd, _ADD_FD, request)
        except OSError as error:
            return error.errno != _EINVAL  # ENOENT: the caller was killed
        return True

    def close(self) -> None:
        """Receive no more; calls that the filter would notify of fail with ENOSYS."""
        os.close(self.fd)

    def is_alive(self) -> bool:
        """Whether the caller still waits; if not, the memory read may be another thread's."""
        ident = ctypes.c_uint64(self.fields[0])
        return bool(_quick_ioctl(self.fd, _ID_VALID, ctypes.addressof(ident)) == 0)
