"""Exchanges with servers that are slow, broken or endless: each has one deadline."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from slimtrace.tracer.drive.http import Address, OutgoingRequest, exchange, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HEAD = b"HTTP/1.1 200 OK\r\n"
PATIENCE_SECONDS = 30.0
"""Far more than any exchange here may take, and far less than the servers go on."""
DRIP_SECONDS = 0.05
DRIPS = int(4 * PATIENCE_SECONDS / DRIP_SECONDS)


@pytest.fixture
def serve() -> Iterator[Callable[[Iterable[bytes]], Address]]:
    """Start a server that sends these pieces, one now and then, to each client."""
    sockets, is_over = [], threading.Event()

    def start(pieces: Iterable[bytes]) -> Address:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        sent = list(pieces)

        def run() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.recv(1 << 16)
                    for piece in sent:
                        client.sendall(piece)
                        is_over.wait(DRIP_SECONDS)

        threading.Thread(target=run, daemon=True).start()
        return Address(*server.getsockname())

    yield start
    is_over.set()
    for server in sockets:
        server.close()


@pytest.mark.parametrize("sent", [(), (HEAD,), (HEAD, b"X-Slow: ")], ids=["line", "head", "header"])
def test_a_header_that_drips_does_not_go_beyond_the_deadline(
    serve: Callable[[Iterable[bytes]], Address], sent: tuple[bytes, ...]
) -> None:
    address = serve(itertools.chain(sent, itertools.repeat(b"H", DRIPS)))
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        get(address, "/", 0.5)
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_body_that_drips_ends_at_the_deadline(
    serve: Callable[[Iterable[bytes]], Address],
) -> None:
    began = time.monotonic()
    answer = get(serve([HEAD + b"\r\n", *itertools.repeat(b"x", DRIPS)]), "/", 0.7)
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert (answer.code, answer.version) == (200, "HTTP/1.1")
    assert {*answer.body} == {*b"x"}


def test_an_exchange_that_should_end_ends_long_before_its_deadline(
    serve: Callable[[Iterable[bytes]], Address],
) -> None:
    address = serve([HEAD, *itertools.repeat(b"X", DRIPS)])
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        exchange(address, OutgoingRequest("GET", "/"), 4 * PATIENCE_SECONDS, lambda: True)
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_what_was_sent_before_an_exchange_should_end_is_read(
    serve: Callable[[Iterable[bytes]], Address],
) -> None:
    address = serve([HEAD + b"Content-Length: 2\r\n\r\nok"])
    assert exchange(address, OutgoingRequest("GET", "/"), 60, lambda: True).body == b"ok"


def test_a_body_that_breaks_off_is_an_answer(serve: Callable[[Iterable[bytes]], Address]) -> None:
    assert get(serve([HEAD + b"Content-Length: 9\r\n\r\nshort"]), "/", 60).body == b"short"
