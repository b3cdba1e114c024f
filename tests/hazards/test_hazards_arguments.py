"""The call arguments in a trace from which a seccomp profile of the app is made."""

from __future__ import annotations

import platform
import socket
from typing import TYPE_CHECKING

import pytest
from hazards import skip_if_unsupported

if TYPE_CHECKING:
    from conftest import Trace, Tracee

NEW_USER = 0x10000000  # sched.h
EXPECTED = {
    "clone": [NEW_USER],
    "socket": sorted([socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 12345]),
}


def test_socket_families_and_new_namespaces(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("call_arguments")])
    assert (run.status, run.stderr) == (0, "")
    syscalls = run.document["syscalls"]
    assert (syscalls["arguments"], syscalls["narrow"]) == (EXPECTED, False)
    assert "socket" in syscalls["observed"]
    assert run.gaps() == set()


def test_a_plain_fork_records_no_arguments(traced: Trace) -> None:
    syscalls = traced(["sh", "-c", "true & wait"]).document["syscalls"]
    assert (syscalls["arguments"], syscalls["narrow"]) == ({}, False)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="i386 programs run there")
@pytest.mark.parametrize("flags", [("-m32",), ("-m32", "-DSOCKETCALL")])
def test_a_32_bit_program(traced: Trace, tracee: Tracee, flags: tuple[str, ...]) -> None:
    """It can also create sockets with socketcall(2), whose arguments are in memory."""
    run = traced([tracee("call_arguments", *flags)])
    skip_if_unsupported(run)
    assert (run.status, run.stderr) == (0, "")
    syscalls = run.document["syscalls"]
    assert (syscalls["arguments"], syscalls["narrow"]) == (EXPECTED, True)
    assert ("socketcall" in syscalls["observed"]) == ("-DSOCKETCALL" in flags)
