"""Record the notifications that a kernel sends to a seccomp listener, for notifications.jsonl.

It runs in the virtual machine. Each output line contains one call of the C library, the resulting
80 bytes of struct seccomp_notif, and the strings at its arguments. Every call is answered with an
error, so it has no effect.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import socket
import struct
import sys
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel import bpf
from slimtrace.tracer.syscalls import abi

if TYPE_CHECKING:
    from typing import BinaryIO

libc = ctypes.CDLL(None, use_errno=True)
FD, CWD = 200, -100
RECV, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_*
HOW = struct.pack("=QQQ", os.O_RDONLY, 0, 0x10)  # struct open_how: RESOLVE_IN_ROOT
UNIX = struct.pack("=H", socket.AF_UNIX) + b"socket\0"

CALLS = (
    ("open", b"file", os.O_RDONLY),
    ("open", b"file", os.O_WRONLY | os.O_TRUNC),
    ("open", b"link", os.O_RDONLY | os.O_NOFOLLOW | os.O_PATH),
    ("open", b"new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
    ("open", b"folder", os.O_RDONLY | os.O_DIRECTORY),
    ("creat", b"new", 0o600),
    ("openat", FD, b"inner", os.O_RDWR),
    ("syscall", 437, CWD, b"/folder/inner", HOW, 24),
    ("stat", b"file", bytes(256)),
    ("lstat", b"link", bytes(256)),
    ("fstatat", FD, b"inner", bytes(256), 0),
    ("fstatat", FD, b"", bytes(256), 0x1000),
    ("statx", CWD, b"missing", 0x100, 0xFFF, bytes(256)),
    ("access", b"file", os.R_OK),
    ("faccessat", FD, b"inner", os.R_OK, 0),
    ("faccessat", CWD, b"link", os.R_OK, 0x100),
    ("readlink", b"link", bytes(64), 64),
    ("readlinkat", FD, b"inner", bytes(64), 64),
    ("statfs", b"folder", bytes(256)),
    ("getxattr", b"file", b"user.x", bytes(64), 64),
    ("lgetxattr", b"link", b"user.x", bytes(64), 64),
    ("listxattr", b"file", bytes(64), 64),
    ("llistxattr", b"link", bytes(64), 64),
    ("setxattr", b"file", b"user.x", b"1", 1, 0),
    ("lsetxattr", b"link", b"user.x", b"1", 1, 0),
    ("removexattr", b"file", b"user.x"),
    ("lremovexattr", b"link", b"user.x"),
    ("fsetxattr", FD, b"user.x", b"1", 1, 0),
    ("name_to_handle_at", FD, b"inner", bytes(64), bytes(8), 0),
    ("inotify_add_watch", 3, b"folder", 2),
    ("chmod", b"file", 0o600),
    ("fchmod", FD, 0o700),
    ("fchmodat", FD, b"inner", 0o600, 0),
    ("chown", b"file", 0, 0),
    ("lchown", b"link", 0, 0),
    ("fchown", FD, 0, 0),
    ("fchownat", FD, b"inner", 0, 0, 0x100),
    ("utimes", b"file", None),
    ("utimensat", FD, b"inner", None, 0),
    ("futimens", FD, None),
    ("truncate", b"file", 1),
    ("mkdir", b"new", 0o700),
    ("mkdirat", FD, b"new", 0o700),
    ("mknod", b"new", 0o10600, 0),
    ("mknodat", FD, b"new", 0o10600, 0),
    ("symlink", b"file", b"new"),
    ("symlinkat", b"../file", FD, b"new"),
    ("link", b"file", b"new"),
    ("linkat", FD, b"inner", CWD, b"new", 0),
    ("linkat", CWD, b"link", FD, b"new", 0x400),
    ("unlink", b"file"),
    ("unlinkat", FD, b"inner", 0),
    ("rmdir", b"folder"),
    ("rename", b"file", b"new"),
    ("renameat", FD, b"inner", CWD, b"new"),
    ("renameat2", CWD, b"file", FD, b"inner", 2),
    ("bind", FD, UNIX, len(UNIX)),
    ("connect", FD, UNIX, len(UNIX)),
    ("chdir", b"folder"),
    ("fchdir", FD),
    ("execve", b"program", None, None),
    ("execveat", FD, b"inner", None, None, 0),
    ("acct", b"file"),
    ("swapon", b"file", 0),
    ("swapoff", b"file"),
)


def main() -> None:
    machine = platform.machine()
    code = bpf.assemble_filter(abi.group_by_arch(abi.select_calls(machine)))
    own, other = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _child(code, other)
    _, (listener,), _, _ = socket.recv_fds(own, 1, 1)
    for call in CALLS:
        request = ctypes.create_string_buffer(80)
        assert libc.ioctl(listener, RECV, request) == 0, ctypes.get_errno()
        arguments = struct.unpack_from("=6Q", request, 32)
        held: dict[int, str] = {}
        blocks = [word for word in call[1:] if isinstance(word, bytes)]
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for number, address in enumerate(
                arguments
            ):  # registers after the last argument have old values
                if blocks and _has_block(memory, address, blocks[0]):
                    block = blocks.pop(0)
                    if block.strip(b"\0") or not block:
                        held[number] = block.hex()
        assert not blocks, call
        line = {"call": call[0], "notification": request.raw.hex(), "memory": held}
        json.dump(line, sys.stdout)
        print(flush=True)
        response = struct.pack("=QqiI", *struct.unpack_from("=Q", request), 0, -1, 0)
        assert libc.ioctl(listener, SEND, response) == 0
    os.close(listener)
    os.waitpid(pid, 0)


def _has_block(memory: BinaryIO, address: int, block: bytes) -> bool:
    if address >> 48:
        return False
    memory.seek(address)
    try:
        return memory.read(len(block) + 1) == block + b"\0"
    except OSError:
        return False


def _child(code: bytes, control: socket.socket) -> None:
    """Make the calls; arguments are prepared before, so that no other call is made between them."""
    program = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(program))
    seccomp = {"aarch64": 277, "x86_64": 317}[platform.machine()]
    functions = [(getattr(libc, name), arguments) for name, *arguments in CALLS]
    fd = libc.syscall(seccomp, 1, 1 << 3, fprog)
    socket.send_fds(control, [b"x"], [fd])
    os.close(fd)
    for function, arguments in functions:
        function(*arguments)
    os._exit(0)


main()
