"""Where Docker's daemon is: ``DOCKER_HOST``, a context, or the usual socket, as for ``docker``.

The order is that of the docker command (cli, command/cli.go): ``DOCKER_HOST``, ``DOCKER_CONTEXT``,
then the context of ``docker context use``.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT = "default"
_TIMEOUT_SECONDS = 300  # the longest silence: docker writes an image to its disk before it answers
_CONNECT_SECONDS = 30
_END_SECONDS = 10  # for ssh, after the connection is closed
_PORT, _TLS_PORT = 2375, 2376
_TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True, slots=True)
class DockerEndpoint:
    """The address of a daemon.

    :ivar host: ``unix://PATH``, ``tcp://HOST:PORT`` or ``ssh://[USER@]HOST[:PORT]``.
    :ivar chosen_by: what names it, for messages: ``DOCKER_HOST``, ``the context NAME``; "" where
        it is the usual one.
    :ivar tls_folder: has ``ca.pem``, ``cert.pem`` and ``key.pem``, each if it is needed; None for
        a connection without TLS.
    :ivar verifies: whether the daemon's certificate is verified.
    """

    host: str = DEFAULT_HOST
    chosen_by: str = ""
    tls_folder: str | None = None
    verifies: bool = True

    def __str__(self) -> str:
        return f"{self.host} ({self.chosen_by})" if self.chosen_by else self.host

    def connect(self) -> HTTPConnection:
        """Connect to the daemon.

        :raises OSError: nothing answers there.
        :raises SlimtraceError: the address cannot be used.
        """
        url = urlsplit(self.host)
        match url.scheme:
            case "unix":
                return _over(_open_unix_socket(url.path))
            case "tcp" | "http" | "https" if url.hostname:
                port = url.port or (_PORT if self.tls_folder is None else _TLS_PORT)
                plain = socket.create_connection((url.hostname, port), _CONNECT_SECONDS)
                plain.settimeout(_TIMEOUT_SECONDS)
                if self.tls_folder is None and url.scheme != "https":
                    return _over(plain)
                return _over(self._tls().wrap_socket(plain, server_hostname=url.hostname))
            case "ssh" if url.hostname:
                return _SshConnection(url.username, url.hostname, url.port)
        raise SlimtraceError(
            f"cannot reach Docker at {self}: it is not an address of a daemon",
            "as in DOCKER_HOST=unix:///var/run/docker.sock, tcp://HOST:2376 or ssh://USER@HOST",
        )

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority, certificate, key = (
            os.path.join(self.tls_folder or "", name) for name in _TLS_FILES
        )
        if not self.verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif os.path.exists(authority):
            context = ssl.create_default_context(cafile=authority)
        if os.path.exists(certificate):
            context.load_cert_chain(certificate, key)
        return context


def find_docker(environ: Mapping[str, str] = os.environ) -> DockerEndpoint:
    """Find the daemon that ``docker`` would use.

    :raises SlimtraceError: the chosen context does not exist or is damaged.
    """
    folder = environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    host = environ.get("DOCKER_HOST")
    if host:
        verifies = bool(environ.get("DOCKER_TLS_VERIFY"))
        uses_tls = verifies or bool(environ.get("DOCKER_TLS"))
        certificates = environ.get("DOCKER_CERT_PATH") or folder
        return DockerEndpoint(host, "DOCKER_HOST", certificates if uses_tls else None, verifies)
    name = environ.get("DOCKER_CONTEXT") or _read_current_context(folder)
    if not name or name == _DEFAULT_CONTEXT:
        return DockerEndpoint()
    return _read_context(folder, name)


def _read_current_context(folder: str) -> str | None:
    try:
        with open(os.path.join(folder, "config.json"), "rb") as file:
            name = orjson.loads(file.read()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def _read_context(folder: str, name: str) -> DockerEndpoint:
    """Read a context of ``docker context create`` (cli, context/store)."""
    key = hashlib.sha256(name.encode()).hexdigest()
    path = os.path.join(folder, "contexts", "meta", key, "meta.json")
    failure = f"cannot use Docker's context {name}"
    hint = "list the contexts with: docker context ls; or set DOCKER_HOST"
    try:
        with open(path, "rb") as file:
            endpoint: dict[str, Any] = orjson.loads(file.read())["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except FileNotFoundError:
        raise SlimtraceError(f"{failure}: it does not exist", hint) from None
    except OSError as error:
        raise SlimtraceError(f"{failure}: {path}: {error.strerror}", hint) from error
    except (ValueError, LookupError, TypeError) as error:
        raise SlimtraceError(f"{failure}: {path} is damaged", hint) from error
    certificates = os.path.join(folder, "contexts", "tls", key, "docker")
    tls = certificates if os.path.isdir(certificates) else None
    verifies = endpoint.get("SkipTLSVerify") is not True
    return DockerEndpoint(host, f"the context {name}", tls, verifies)


def _over(connected: socket.socket) -> HTTPConnection:
    connection = HTTPConnection("docker", timeout=_TIMEOUT_SECONDS)
    connection.sock = connected
    connection.auto_open = False
    return connection


def _open_unix_socket(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(_TIMEOUT_SECONDS)
        client.connect(path)
    except BaseException:
        client.close()
        raise
    return client


class _SshConnection(HTTPConnection):
    """As the docker command does: the other machine's docker passes bytes on to its daemon."""

    def __init__(self, user: str | None, host: str, port: int | None) -> None:
        super().__init__("docker", timeout=_TIMEOUT_SECONDS)
        target = host if user is None else f"{user}@{host}"
        options = [] if port is None else ["-p", str(port)]
        self.auto_open = False
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(_TIMEOUT_SECONDS)
        with theirs:
            self._ssh = subprocess.Popen(  # its messages are for the user
                ["ssh", *options, "--", target, "docker", "system", "dial-stdio"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
            )

    def close(self) -> None:
        super().close()
        try:
            self._ssh.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._ssh.kill()
            self._ssh.wait()
