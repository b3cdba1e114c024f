"""Finds the TCP sockets on which processes listen (sock_diag(7), proc(5) /proc/PID/net/tcp)."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.listeners import list_listening_sockets
from slimtrace.tracer.process.borrowed_ids import borrow_ids
from slimtrace.tracer.startup.trial import ListeningSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_LISTEN = "0A"  # TCP_LISTEN (include/net/tcp_states.h)
_TABLES = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6}


def find_listening_sockets() -> dict[int, ListeningSocket]:
    """Return inode → listening socket, for all of this network namespace."""
    try:
        return {
            bound.inode: ListeningSocket(bound.address, bound.port)
            for bound in list_listening_sockets()
        }
    except OSError:  # the kernel has no inet_diag, or a sandbox forbids it
        return dict(_read_tables())


def _read_tables() -> Iterator[tuple[int, ListeningSocket]]:
    for name, family in _TABLES.items():
        with suppress(OSError), open(f"/proc/net/{name}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    yield int(fields[9]), _parse_listener(fields[1], family)


class SocketWatch:
    """Finds the listening sockets of one app.

    :param processes: returns the app's processes.
    :param before: inodes of the sockets that existed before the app.
    """

    def __init__(self, processes: Callable[[], Iterable[int]], before: Iterable[int]) -> None:
        self._processes = processes
        self._others = set(before)
        self._own: set[int] = set()

    def find_own_sockets(self) -> tuple[ListeningSocket, ...]:
        """Return the sockets on which the app listens now, oldest first."""
        current = find_listening_sockets()
        if current.keys() - self._own - self._others:
            opened = {inode for pid in self._processes() for inode in _read_socket_inodes(pid)}
            self._own |= (opened & current.keys()) - self._others
        own = dict.fromkeys(current[inode] for inode in sorted(self._own & current.keys()))
        return tuple(own)


def _read_socket_inodes(pid: int) -> Iterable[int]:
    """Yield the inodes of a process's sockets."""
    borrow_ids(pid)
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                kind, _, inode = os.readlink(entry.path).partition(":[")
                if kind == "socket":
                    yield int(inode.removesuffix("]"))


def _parse_listener(text: str, family: int) -> ListeningSocket:
    """Parse ``0100007F:1F90``: an address as 32-bit numbers in host byte order, and a port."""
    address, _, port = text.partition(":")
    numbers = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    packed = struct.pack(f"={len(numbers)}I", *numbers)
    return ListeningSocket(socket.inet_ntop(family, packed), int(port, 16))
