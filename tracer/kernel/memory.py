"""Reads the memory of another process (process_vm_readv(2), proc_pid_mem(5))."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from ctypes import get_errno

from slimtrace.tracer.kernel.libc import keeping, last_error

PATH_MAX = 4096
WINDOW = 256
"""Bytes that the first attempt reads: longer than nearly every path."""

_OFTEN = 64
_HIGHEST = 2**64 - 1
_MOST_FILES = 64
_readv = keeping.process_vm_readv
_readv.restype = ctypes.c_ssize_t
# No argtypes: the thread's id is an int as it is, and the others are made once, to be passed as
# they are, a fifth of the call's cost.


class _Vector(ctypes.Structure):  # struct iovec
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class MemoryReader:
    """Reads strings and blocks into one buffer, reused: for one thread.

    A hot loop calls the kernel itself: it sets ``window[0]`` (address) and ``window[1]`` (bytes,
    at most WINDOW), calls ``read(tid, *self.vectors)`` and looks at ``buffer.value``.
    """

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(PATH_MAX + 1)
        self._local = _Vector(ctypes.addressof(self.buffer), PATH_MAX)
        self._remote = _Vector(0, 0)
        self.window = memoryview(self._remote).cast("B").cast("Q")
        self.read = _readv
        self.vectors = (
            ctypes.c_void_p(ctypes.addressof(self._local)),
            ctypes.c_ulong(1),
            ctypes.c_void_p(ctypes.addressof(self._remote)),
            ctypes.c_ulong(1),
            ctypes.c_ulong(0),
        )
        self.own_address = ctypes.addressof(self.buffer)

    def block(self, tid: int, address: int, length: int) -> bytes:
        """Up to ``length`` bytes (at most PATH_MAX) at an address; fewer where memory ends.

        :raises OSError: EFAULT where nothing can be read, ESRCH when the thread is gone.
        """
        if address > _HIGHEST:
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
        """Read a byte of a child that was forked from this process, which has this buffer too.

        :raises OSError: EPERM or ENOSYS where that is forbidden.
        """
        self.block(pid, self.own_address, 1)

    def string(self, tid: int, address: int, limit: int = PATH_MAX) -> bytes | None:
        """The bytes up to NUL, or None where there is no NUL within ``limit`` or no memory.

        Reads no further than the page in which the string ends: the next may not be mapped.

        :raises PermissionError: the kernel forbids to read this process (ptrace(2), dumpable).
        """
        found = b""
        while len(found) < limit:
            room = mmap.PAGESIZE - (address & (mmap.PAGESIZE - 1))
            try:
                part = self.block(tid, address, min(room, limit - len(found)))
            except PermissionError:
                raise
            except OSError:
                return None
            end = part.find(b"\0")
            if end >= 0:
                return found + part[:end]
            if len(part) < room:
                return None
            found += part
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
    """Open /proc/TID/mem files of threads that call often: read in two thirds of the time.

    A file stays with the memory that the thread had when it was opened: after an exec it must be
    forgotten, and when the thread ends and its process does not, for its number may be given
    again. Of memory that is gone nothing is read.

    :ivar files: descriptors by thread.
    """

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self._calls: dict[int, int] = {}

    def met(self, tid: int) -> None:
        """A thread without a file called: open one, if it calls often."""
        calls = self._calls[tid] = self._calls.get(tid, 0) + 1
        if calls % _OFTEN == 0 and len(self.files) < _MOST_FILES:
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
        """Close all: some thread executes another program, or is gone."""
        for file in self.files.values():
            os.close(file)
        self.files.clear()
        self._calls.clear()
