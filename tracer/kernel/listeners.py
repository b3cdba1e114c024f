"""Which TCP sockets accept connections: netlink's socket diagnostics (sock_diag(7)).

/proc/net/tcp tells the same, but walks the table of all connections for it: 15 ms each time.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_LISTEN = 1 << 10  # TCP_LISTEN
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr (netlink(7))
_REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2
_FOUND = struct.Struct("=4x2s2x16s16x12x16xI")  # struct inet_diag_msg
_ENOUGH = 1 << 16
_ADDRESSES = {socket.AF_INET: 4, socket.AF_INET6: 16}


class BoundSocket(NamedTuple):
    """A socket that listens, and its inode."""

    inode: int
    address: str
    port: int


def list_listening_sockets() -> Iterator[BoundSocket]:
    """Those of the caller's network namespace.

    :raises OSError: the kernel tells nothing that way.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asked:
        for family in _ADDRESSES:
            yield from _of(asked, family)


def _of(asked: socket.socket, family: socket.AddressFamily) -> Iterator[BoundSocket]:
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _LISTEN)
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    size = _HEADER.size + len(request)
    asked.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + request)
    while True:
        data = asked.recv(_ENOUGH)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, _HEADER.size)
                raise OSError(-code, "sock_diag")
            port, address, inode = _FOUND.unpack_from(data, _HEADER.size)
            text = socket.inet_ntop(family, address[: _ADDRESSES[family]])
            yield BoundSocket(inode, text, int.from_bytes(port))
            data = data[(length + 3) & ~3 :]
