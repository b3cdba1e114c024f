"""Arguments that tell what a call is for, which a profile of the app is made of."""

from __future__ import annotations

import platform
import socket
from typing import TYPE_CHECKING

import pytest
from hazards import skip_if_unsupported

if TYPE_CHECKING:
    from conftest import Trace, Tracee

NEW_USER = 0x10000000  # sched.h
SEEN = {
    "clone": [NEW_USER],
    "socket": sorted([socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 12345]),
}


def test_families_of_sockets_and_new_namespaces(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("telling")])
    assert (run.status, run.stderr) == (0, "")
    said = run.document["syscalls"]
    assert (said["arguments"], said["narrow"]) == (SEEN, False)
    assert "socket" in said["observed"]
    assert run.gaps() == set()


def test_a_plain_fork_tells_nothing(traced: Trace) -> None:
    said = traced(["sh", "-c", "true & wait"]).document["syscalls"]
    assert (said["arguments"], said["narrow"]) == ({}, False)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="i386 programs run there")
@pytest.mark.parametrize("flags", [("-m32",), ("-m32", "-DSOCKETCALL")])
def test_a_32_bit_program(traced: Trace, tracee: Tracee, flags: tuple[str, ...]) -> None:
    """It may make sockets by socketcall(2) too, whose arguments lie in memory."""
    run = traced([tracee("telling", *flags)])
    skip_if_unsupported(run)
    assert (run.status, run.stderr) == (0, "")
    said = run.document["syscalls"]
    assert (said["arguments"], said["narrow"]) == (SEEN, True)
    assert ("socketcall" in said["observed"]) == ("-DSOCKETCALL" in flags)
