"""Decodes socket calls: socket files (unix(7)) and ports that the app serves (ip(7))."""

from __future__ import annotations

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

    def decode_address(self, stop: StoppedCall) -> CallVerdict:
        """Decode bind and connect."""
        use = stop.call.signature.paths[0].use
        return self._address(stop, use, stop.fd(0), (stop.args[1], stop.args[2]))

    def decode_send(self, stop: StoppedCall) -> CallVerdict:
        """Decode sendto: a datagram has the address of its receiver (send(2))."""
        return self._address(stop, Use.CONNECT, stop.fd(0), (stop.args[4], stop.args[5]))

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
        return UNCACHED if use is None else self._address(stop, use, fd, (address, length))

    def _address(self, stop: StoppedCall, use: Use, fd: int, block: tuple[int, int]) -> CallVerdict:
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
            self._serve_datagrams(stop.tid, fd, port)
        return UNCACHED

    def _serve_datagrams(self, tid: int, fd: int, port: int) -> None:
        """Record a datagram socket, which serves once it is bound; clients use port 0."""
        if port == 0:
            return
        with borrow_socket(procfs.read_tgid(tid), fd) as own:
            if own is not None and own.type == socket.SOCK_DGRAM:
                self._recorder.record_listening_port(ListeningPort("udp", port))

    def _listen(self, tid: int, fd: int) -> CallVerdict:
        with borrow_socket(procfs.read_tgid(tid), fd) as own:
            if own is not None and own.family in _INTERNET:
                port = own.getsockname()[1]
                if port:
                    self._recorder.record_listening_port(ListeningPort("tcp", port))
        return UNCACHED
