"""An app's listening sockets: by netlink, or by /proc/net if netlink is not available."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from slimtrace.tracer.startup.listening_sockets import (
    SocketWatch,
    _read_tables,
    find_listening_sockets,
)
from slimtrace.tracer.startup.trial import ListeningSocket

OUTSIDE = {
    "0.0.0.0": True,  # noqa: S104 -- what is said, not bound
    "127.0.0.1": False,
    "127.8.9.10": False,
    "::": True,
    "::1": False,
    "::ffff:127.0.0.1": False,
    "::ffff:10.0.0.1": True,
    "10.1.2.3": True,
}


@pytest.mark.parametrize("address", OUTSIDE)
def test_reachable_addresses(address: str) -> None:
    assert ListeningSocket(address, 80).is_outside is OUTSIDE[address]


def test_netlink_agrees_with_proc_net() -> None:
    with ExitStack() as stack:
        for address, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            for _ in range(3):
                opened = stack.enter_context(socket.socket(family))
                opened.bind((address, 0))
                opened.listen()
        mine = SocketWatch(lambda: [os.getpid()], {})
        found = {str(each) for each in mine.find_own_sockets()}
        assert {each.rpartition(":")[0] for each in found} >= {"127.0.0.1", "[::1]"}
        assert len(found) >= 6
        mine_in_tables = {str(each) for each in dict(_read_tables()).values()}
        assert found <= mine_in_tables


def test_sockets_of_other_processes_are_not_the_apps() -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        there = find_listening_sockets()
        listening = SocketWatch(lambda: [os.getpid()], there)
        assert before.getsockname()[1] in {each.port for each in there.values()}
        assert listening.find_own_sockets() == ()
        with socket.create_server(("127.0.0.1", 0)) as after:
            assert listening.find_own_sockets() == (ListeningSocket(*after.getsockname()),)
            assert SocketWatch(list, {}).find_own_sockets() == ()
        assert listening.find_own_sockets() == ()
