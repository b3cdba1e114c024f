"""Docker's store as source and destination, wherever its daemon is."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate
from engine import compile_static
from layouts import paths
from tree_images import list_entries, make_tree_image

from slimtrace.builder.images.docker_client import DockerClient
from slimtrace.builder.images.docker_endpoint import DEFAULT_HOST, DockerEndpoint, find_docker
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker_daemon import DockerDaemon

    from slimtrace.builder.model import Image

NAME = "slimtrace-test/loaded:1"
SECONDS = 60
PROGRAM = '#include <stdio.h>\nint main(void) { puts("hello"); return 7; }\n'
SSH = '#!/bin/sh\necho "$@" >"$0.log"\nshift 4\nDOCKER_HOST={} exec "$@"\n'
"""Runs its command on this machine; the program that a user's shell on another host would run."""


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "root").mkdir()
    compile_static(str(tmp_path / "root"), PROGRAM)
    return make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work")


@pytest.fixture
def daemon(docker_daemon: DockerDaemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDaemon]:
    """The daemon that DOCKER_HOST names, without the test's image at the end."""
    forget_docker(monkeypatch)
    for name, value in docker_daemon.environment.items():
        monkeypatch.setenv(name, value)
    yield docker_daemon
    docker_daemon.docker("rmi", "--force", NAME)


def forget_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("cache_folder")
def test_an_image_is_written_and_read(
    daemon: DockerDaemon, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = parse_destination(f"docker-daemon:{NAME}")
    destination.prepare()
    destination.write(image, ())
    ran = daemon.run(NAME)
    assert (ran.stdout, ran.returncode) == ("hello\n", 7), ran.stderr
    opened = open_image(f"docker-daemon:{NAME}")
    assert (opened.digest, paths(opened.index)) == (image.config_digest, ["program"])
    assert capsys.readouterr().err.count("fetching") == 1
    short = image.config_digest.removeprefix("sha256:")[:12]
    for again in (NAME, f"docker-daemon:{short}", f"docker-daemon:{image.config_digest}"):
        assert open_image(again).root == opened.root
    assert "fetching" not in capsys.readouterr().err


def test_a_name_that_docker_does_not_have(daemon: DockerDaemon) -> None:
    with pytest.raises(SlimtraceError) as caught:
        open_image("docker-daemon:slimtrace-test/none")
    assert caught.value.message == (
        f"cannot read docker-daemon:slimtrace-test/none:latest: Docker at {daemon.host} "
        "(DOCKER_HOST) has no such image"
    )
    assert caught.value.hint == "list them: docker images"


def test_what_docker_refuses_is_said(daemon: DockerDaemon, tmp_path: Path) -> None:
    (tmp_path / "damaged.tar").write_bytes(b"x" * 2048)
    with open(tmp_path / "damaged.tar", "rb") as file, pytest.raises(SlimtraceError) as caught:
        DockerClient("cannot write app").load(file)
    assert caught.value.message.startswith("cannot write app: ")
    assert "archive/tar" in caught.value.message


def add_context(folder: Path, name: str, host: str, **fields: object) -> Path:
    """What ``docker context create`` writes; returns the folder for its certificates."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts/meta" / key
    meta.mkdir(parents=True)
    document = {"Name": name, "Endpoints": {"docker": {"Host": host, **fields}}}
    (meta / "meta.json").write_text(json.dumps(document))
    return folder / "contexts/tls" / key / "docker"


CONTEXT_HOST = "tcp://10.0.0.1:2376"


@pytest.mark.parametrize(
    ("environ", "current", "host", "chosen_by"),
    [
        ({}, None, DEFAULT_HOST, ""),
        ({}, "default", DEFAULT_HOST, ""),
        ({}, "other", CONTEXT_HOST, "the context other"),
        ({"DOCKER_CONTEXT": "other"}, None, CONTEXT_HOST, "the context other"),
        ({"DOCKER_CONTEXT": "default"}, "other", DEFAULT_HOST, ""),
        ({"DOCKER_HOST": "unix:///d"}, "other", "unix:///d", "DOCKER_HOST"),
        ({"DOCKER_HOST": "unix:///d", "DOCKER_CONTEXT": "other"}, None, "unix:///d", "DOCKER_HOST"),
    ],
)
def test_which_daemon(
    tmp_path: Path, environ: dict[str, str], current: str | None, host: str, chosen_by: str
) -> None:
    add_context(tmp_path, "other", CONTEXT_HOST)
    if current is not None:
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": current}))
    found = find_docker({"DOCKER_CONFIG": str(tmp_path), **environ})
    assert (found.host, found.chosen_by, found.tls_folder) == (host, chosen_by, None)


def test_contexts_are_those_of_the_docker_command(
    tmp_path: Path, docker_daemon: DockerDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_docker(monkeypatch)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    host = f"host={docker_daemon.host}"
    for argv in (["create", "other", "--docker", host], ["use", "other"]):
        subprocess.run(["docker", "context", *argv], check=True, capture_output=True, timeout=60)
    assert find_docker() == DockerEndpoint(docker_daemon.host, "the context other")
    DockerClient("cannot ask").ping()


@pytest.mark.parametrize(
    ("meta", "cause"),
    [(None, "it does not exist"), ("{}", "is damaged"), ("[]", "is damaged"), ("no", "is damaged")],
)
def test_a_context_that_cannot_be_used(tmp_path: Path, meta: str | None, cause: str) -> None:
    if meta is not None:
        add_context(tmp_path, "other", CONTEXT_HOST)
        next(tmp_path.glob("contexts/meta/*/meta.json")).write_text(meta)
    with pytest.raises(SlimtraceError, match=f"cannot use Docker's context other: .*{cause}"):
        find_docker({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "other"})


@pytest.mark.parametrize("host", ["d.sock", "npipe:////./pipe/docker_engine", "ssh://", "tcp://"])
def test_addresses_that_are_none(host: str) -> None:
    with pytest.raises(SlimtraceError, match="it is not an address of a daemon"):
        DockerClient("cannot ask", DockerEndpoint(host)).ping()


def test_a_socket_that_nobody_serves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "d.sock"))
    with pytest.raises(SlimtraceError, match=r"cannot ask: Docker does not answer .*refused") as no:
        DockerClient("cannot ask", DockerEndpoint(f"unix://{tmp_path}/d.sock")).ping()
    assert no.value.hint == "start Docker, or say where it is: DOCKER_HOST or docker context use"


def test_a_daemon_by_ssh(
    tmp_path: Path, docker_daemon: DockerDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(SSH.format(docker_daemon.host))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    client = DockerClient("cannot ask", DockerEndpoint("ssh://ann@box:2222"))
    assert client.find_id("slimtrace-test/none") is None
    called = (tmp_path / "ssh.log").read_text()
    assert called == "-p 2222 -- ann@box docker system dial-stdio\n"


def test_a_daemon_by_tcp(docker_daemon: DockerDaemon) -> None:
    with forward(docker_daemon) as port:
        DockerClient("cannot ask", DockerEndpoint(f"tcp://127.0.0.1:{port}")).ping()


def test_a_daemon_with_certificates(
    tmp_path: Path, docker_daemon: DockerDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = make_certificates(tmp_path)
    with forward(docker_daemon, server) as port:
        host = f"tcp://localhost:{port}"
        by_variables = {"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1"}
        found = find_docker({**by_variables, "DOCKER_CERT_PATH": str(client)})
        DockerClient("cannot ask", found).ping()
        folder = add_context(tmp_path / "config", "secure", host)
        folder.parent.mkdir(parents=True)
        client.rename(folder)
        by_context = {"DOCKER_CONFIG": f"{tmp_path}/config", "DOCKER_CONTEXT": "secure"}
        DockerClient("cannot ask", find_docker(by_context)).ping()
        (folder / "ca.pem").unlink()
        with pytest.raises(SlimtraceError, match="certificate verify failed"):
            DockerClient("cannot ask", find_docker(by_context)).ping()
        unverified = {"DOCKER_HOST": host, "DOCKER_TLS": "1", "DOCKER_CERT_PATH": str(folder)}
        DockerClient("cannot ask", find_docker(unverified)).ping()


def make_certificates(place: Path) -> tuple[Path, ssl.SSLContext]:
    """A folder as DOCKER_CERT_PATH wants it, and a server that only its client may use."""
    folder = place / "certificates"
    make_certificate(folder)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return folder, context


@contextmanager
def forward(daemon: DockerDaemon, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Pass connections to a TCP port on to the daemon's socket; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, daemon, tls), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(SECONDS)


def _serve(server: socket.socket, daemon: DockerDaemon, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):  # the test is over
        while True:
            client, _ = server.accept()
            client.settimeout(SECONDS)
            with suppress(OSError), client, socket.socket(socket.AF_UNIX) as inner:
                inner.connect(str(daemon.socket))
                inner.settimeout(SECONDS)
                outer = client if tls is None else tls.wrap_socket(client, server_side=True)
                with outer:  # one short request and its answer
                    inner.sendall(outer.recv(1 << 16))
                    outer.sendall(inner.recv(1 << 16))
