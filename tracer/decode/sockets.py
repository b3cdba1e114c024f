"""Decodes socket calls: socket files (unix(7)) and ports that the app serves (ip(7))."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import UNCACHED, CallVerdict
from slimtrace.tracer.kernel.process import borrow_socket
from slimtrace.tracer.process import procfs
from slimtrace.tracer.syscalls.table import AT_FDCWD, PathArgument
from slimtrace.tracer.trace.trace import ListeningPort, Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.files import FileDecoder
    from slimtrace.tracer.decode.path_arguments import PathResolver
    from slimtrace.tracer.record.recorder import Recorder

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_MAX_ADDRESS_BYTES = 128  # struct sockaddr_storage
_SOCKET, _BIND, _CONNECT, _LISTEN, _SENDTO = 1, 2, 3, 4, 11  # linux/net.h, for socketcall(2)


class SocketDecoder:
    """Decodes socket, bind, connect and listen."""

    def __init__(self, recorder: Recorder, resolver: PathResolver, files: FileDecoder) -> None:
        self._recorder = recorder
        self._resolver = resolver
        self._files = files
        self._unnumbered: set[int] = set()
        """Inodes of sockets that were bound to port 0: the kernel chooses the port."""

    def decode_address(self, stop: StoppedCall) -> CallVerdict:
        """Decode bind and connect."""
        use = stop.call.signature.paths[0].use
        return self._address(
            stop, use, stop.fd(0), (stop.args[1], stop.args[2]), connects=use is Use.CONNECT
        )

    def decode_send(self, stop: StoppedCall) -> CallVerdict:
        """Decode sendto: a datagram has the address of its receiver (send(2))."""
        return self._address(
            stop, Use.CONNECT, stop.fd(0), (stop.args[4], stop.args[5]), connects=False
        )

    def decode_socket(self, stop: StoppedCall) -> CallVerdict:
        self._recorder.record_argument("socket", stop.args[0] & 0xFFFFFFFF)
        return UNCACHED

    def decode_listen(self, stop: StoppedCall) -> CallVerdict:
        return self._listen(stop.tid, stop.fd(0))

    def decode_socketcall(self, stop: StoppedCall) -> CallVerdict:
        """Decode i386's one call for all sockets: a number, and a block of 32-bit arguments."""
        skipped = 12 if stop.args[0] == _SENDTO else 0  # of sendto: buffer, length, flags
        try:
            block = self._resolver.memory.block(stop.tid, stop.args[1], 12 + skipped)
            fd, address, length = struct.unpack(f"<i{skipped}xII", block)
        except (OSError, struct.error):
            return UNCACHED
        if stop.args[0] == _LISTEN:
            return self._listen(stop.tid, fd)
        if stop.args[0] == _SOCKET:
            self._recorder.record_argument(
                "socket", fd & 0xFFFFFFFF
            )  # the first of any call's block
            return UNCACHED
        uses = {_BIND: Use.CREATE, _CONNECT: Use.CONNECT, _SENDTO: Use.CONNECT}
        use = uses.get(stop.args[0])
        if use is None:
            return UNCACHED
        connects = stop.args[0] == _CONNECT
        return self._address(stop, use, fd, (address, length), connects=connects)

    def _address(
        self,
        stop: StoppedCall,
        use: Use,
        fd: int,
        block: tuple[int, int],
        *,
        connects: bool,
    ) -> CallVerdict:
        address, length = block
        try:
            data = self._resolver.memory.block(stop.tid, address, min(length, _MAX_ADDRESS_BYTES))
        except OSError:
            return UNCACHED
        family = int.from_bytes(data[:2], "little")
        if family == socket.AF_UNIX and data[2:3] not in (b"", b"\0"):  # else abstract, unnamed
            name = data[2:].split(b"\0", 1)[0]
            path = self._resolver.locate(stop.tid, AT_FDCWD, name, follow=True)
            if path is not None:
                place = self._resolver.look_up(stop.tid, path, follow=True)
                self._files.record_argument(stop, PathArgument(use, None), place)
        elif family in _INTERNET and use is Use.CREATE and len(data) >= 4:
            (port,) = struct.unpack_from("!H", data, 2)
            self._bind(stop.tid, fd, port)
        elif family in _INTERNET and connects:
            self._connect(stop.tid, fd)
        return UNCACHED

    def _bind(self, tid: int, fd: int, port: int) -> None:
        """Note the port; a datagram socket serves from its bind on, unless it is connected."""
        with borrow_socket(procfs.read_tgid(tid), fd) as own:
            if own is None:
                return
            inode = os.fstat(own.fileno()).st_ino
            if port == 0:
                self._unnumbered.add(inode)
            else:
                self._unnumbered.discard(inode)
            if own.type == socket.SOCK_DGRAM:
                self._recorder.note_datagram_port(inode, port or None)

    def _connect(self, tid: int, fd: int) -> None:
        """Note that a datagram socket is a client's, whatever its port: it has one peer."""
        if not self._recorder.has_datagram_ports:
            return
        with borrow_socket(procfs.read_tgid(tid), fd) as own:
            if own is not None and own.type == socket.SOCK_DGRAM:
                self._recorder.note_datagram_port(os.fstat(own.fileno()).st_ino, None)

    def _listen(self, tid: int, fd: int) -> CallVerdict:
        with borrow_socket(procfs.read_tgid(tid), fd) as own:
            if own is not None and own.family in _INTERNET:
                port = own.getsockname()[1]
                heard = ListeningPort("tcp", port)
                if os.fstat(own.fileno()).st_ino in self._unnumbered:
                    self._recorder.note_kernel_port(heard)
                elif port:
                    self._recorder.record_listening_port(heard)
        return UNCACHED
