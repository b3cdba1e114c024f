"""Reads the memory of another process (process_vm_readv(2), proc_pid_mem(5))."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from ctypes import get_errno, set_errno
from functools import cache
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.libc import keeping, last_error

if TYPE_CHECKING:
    from collections.abc import Callable

PATH_MAX = 4096
WINDOW = 256
"""Bytes that the first attempt reads: more than the length of nearly every path."""

_CALLS_BEFORE_OPEN = 64
_MAX_ADDRESS = 2**64 - 1
_MAX_FILES = 64
_ERRORS = {errno.EIO: errno.EFAULT, errno.ENOENT: errno.ESRCH, errno.EACCES: errno.EPERM}
"""Of /proc/TID/mem, and what process_vm_readv(2) has for them."""

_readv = keeping.process_vm_readv
_readv.restype = ctypes.c_ssize_t
# No argtypes: the thread id is an int already, and the other arguments are converted only once.
# This saves a fifth of the call's time.


class _Vector(ctypes.Structure):  # struct iovec
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@cache
def _is_readv_allowed() -> bool:
    """Whether process_vm_readv(2) may be called at all: Docker's profile refuses it."""
    source, target = ctypes.create_string_buffer(1), ctypes.create_string_buffer(1)
    vectors = (_Vector(ctypes.addressof(buffer), 1) for buffer in (target, source))
    local, remote = map(ctypes.byref, vectors)
    one = ctypes.c_ulong(1)
    return bool(_readv(os.getpid(), local, one, remote, one, ctypes.c_ulong(0)) == 1)


class MemoryReader:
    """Reads strings and blocks into one buffer, reused: only one thread may use it.

    A hot loop calls the kernel itself: it sets ``window[0]`` (address) and ``window[1]`` (bytes,
    at most WINDOW), calls ``read(tid, *self.vectors)`` and looks at ``buffer.value``.
    """

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(PATH_MAX + 1)
        self._local = _Vector(ctypes.addressof(self.buffer), PATH_MAX)
        self._remote = _Vector(0, 0)
        self.window = memoryview(self._remote).cast("B").cast("Q")
        self.read: Callable[..., int] = _readv if _is_readv_allowed() else self._read_file
        self.vectors = (
            ctypes.c_void_p(ctypes.addressof(self._local)),
            ctypes.c_ulong(1),
            ctypes.c_void_p(ctypes.addressof(self._remote)),
            ctypes.c_ulong(1),
            ctypes.c_ulong(0),
        )
        self.own_address = ctypes.addressof(self.buffer)

    def _read_file(self, tid: int, *_: object) -> int:
        """As process_vm_readv(2), by /proc/TID/mem, which no seccomp profile refuses."""
        address, length = self.window
        try:
            fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.preadv(fd, [memoryview(self.buffer).cast("B")[:length]], address)
            finally:
                os.close(fd)
        except OverflowError:
            number = errno.EFAULT
        except OSError as error:
            number = _ERRORS.get(error.errno or 0, error.errno or 0)
        set_errno(number)
        return -1

    def block(self, tid: int, address: int, length: int) -> bytes:
        """Up to ``length`` bytes (at most PATH_MAX) at an address; fewer where memory ends.

        :raises OSError: EFAULT where nothing can be read, ESRCH when the thread is gone.
        """
        if address > _MAX_ADDRESS:
            raise OSError(errno.EFAULT, f"memory of {tid} at {address:#x}")
        self.window[0], self.window[1] = address, min(length, PATH_MAX)
        count: int = self.read(tid, *self.vectors)
        if count < 0:
            raise last_error(f"memory of {tid} at {address:#x}")
        return self.buffer.raw[:count]

    def is_unmapped(self, tid: int, address: int) -> bool:
        """Whether a living thread has no memory at an address: EFAULT."""
        self.window[0], self.window[1] = address, 1
        return self.read(tid, *self.vectors) < 0 and get_errno() == errno.EFAULT

    def check(self, pid: int) -> None:
        """Read a byte of a child that was forked from this process, and so has this buffer too.

        :raises OSError: EPERM or ENOSYS where that is forbidden.
        """
        self.block(pid, self.own_address, 1)

    def string(self, tid: int, address: int, limit: int = PATH_MAX) -> bytes | None:
        """The bytes up to NUL, or None where there is no NUL within ``limit`` or no memory.

        Reads no further than the page in which the string ends: the next may not be mapped.

        :raises PermissionError: the kernel forbids to read this process (ptrace(2), dumpable).
        """
        text = b""
        while len(text) < limit:
            room = mmap.PAGESIZE - (address & (mmap.PAGESIZE - 1))
            try:
                part = self.block(tid, address, min(room, limit - len(text)))
            except PermissionError:
                raise
            except OSError:
                return None
            end = part.find(b"\0")
            if end >= 0:
                return text + part[:end]
            if len(part) < room:
                return None
            text += part
            address += len(part)
        return None

    def number(self, tid: int, address: int, size: int) -> int | None:
        """A little-endian unsigned number of ``size`` bytes, or None where it cannot be read."""
        try:
            data = self.block(tid, address, size)
        except OSError:
            return None
        return int.from_bytes(data, "little") if len(data) == size else None


class MemoryFiles:
    """Keeps /proc/TID/mem open for threads that call often: a read takes two thirds of the time.

    An open file shows the memory that the thread had at the time of the open. So it must be closed
    after an exec, and when a thread ends before its process, because the kernel may assign its
    number again. A read of memory that is gone returns nothing.

    :ivar files: descriptors by thread.
    """

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self._calls: dict[int, int] = {}

    def count_call(self, tid: int) -> None:
        """Count a call of a thread without an open file; open the file if it calls often."""
        calls = self._calls[tid] = self._calls.get(tid, 0) + 1
        if calls % _CALLS_BEFORE_OPEN == 0 and len(self.files) < _MAX_FILES:
            try:
                self.files[tid] = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return

    def drop(self, tid: int) -> None:
        """Close the file of a thread that ends."""
        file = self.files.pop(tid, None)
        if file is not None:
            os.close(file)
        self._calls.pop(tid, None)

    def forget(self) -> None:
        """Close all files: a thread executes another program, or has ended."""
        for file in self.files.values():
            os.close(file)
        self.files.clear()
        self._calls.clear()
