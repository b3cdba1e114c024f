"""Which ports of a real run are ports on which the app serves."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
from traces import run_slimtrace

from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = """
import socket, sys
first, second = map(int, sys.argv[1:])
HERE, UDP = "127.0.0.1", socket.SOCK_DGRAM
def tcp(port):
    server = socket.create_server((HERE, port))
    return server
def udp(port, family=socket.AF_INET):
    found = socket.socket(family, UDP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((HERE, port))
    return found
"""
SECOND_TRY = """
one = socket.socket(type=UDP)
try:
    one.bind(("192.0.2.1", first))
except OSError:
    one.bind((HERE, second))
"""


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two ports that are free for TCP and UDP."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


@pytest.mark.parametrize("engine", ["notify", "ptrace-syscall"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("tcp(first)", "tcp 1"),
        ("tcp(0)", ""),
        ("tcp(0); tcp(first)", "tcp 1"),
        ("s = socket.socket(); s.listen()", ""),
        ("udp(first)", "udp 1"),
        ("udp(0)", ""),
        ("udp(first).connect((HERE, 9))", ""),
        ("udp(first).sendto(b'x', (HERE, 9))", "udp 1"),
        ("socket.socket(type=UDP).sendto(b'x', (HERE, 9))", ""),
        ("a = udp(first); b = udp(first); b.connect((HERE, 9))", "udp 1"),
        ("udp(first).connect((HERE, 9)); udp(second)", "udp 2"),
        (SECOND_TRY, "udp 2"),
    ],
)
def test_ports_on_which_the_app_serves(
    tmp_path: Path, ports: tuple[int, int], engine: str, code: str, expected: str
) -> None:
    trace = str(tmp_path / "app.trace")
    argv = (sys.executable, "-c", BEGIN + code, *map(str, ports))
    done = run_slimtrace("-q", "run", "--engine", engine, "-o", trace, "--", *argv)
    assert done.returncode == 0, done.stderr
    names = dict(zip(ports, "12", strict=True))
    found = read_trace([trace]).listening
    assert [f"{port.protocol} {names.get(port.port)}" for port in found] == (
        [expected] if expected else []
    )
