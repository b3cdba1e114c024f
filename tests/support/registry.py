"""A real registry on loopback, and a home directory whose configuration allows it without TLS."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from requirements import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_SECONDS = 120
USERS = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
"""Lines of an htpasswd file: the user ``me`` with the password ``secret``."""


@contextmanager
def run_registry(
    folder: Path, *, users: str = "", certificate: Path | None = None, trusted: bool = True
) -> Iterator[str]:
    """Run a registry until the block ends; yields its ``HOST:PORT``.

    :param folder: directory for its data, and for skopeo's ``home``.
    :param users: lines of an htpasswd file (bcrypt); if given, other users are refused.
    :param certificate: a folder of :func:`certificates.make_certificate`; None for plain HTTP.
    :param trusted: whether the configuration in ``home`` allows it without a trusted certificate.
    """
    need("docker-registry", "skopeo")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    config = _CONFIG.format(folder=folder, port=port)
    if users:
        (folder / "users").write_text(users)
        config += f"auth: {{htpasswd: {{realm: test, path: {folder}/users}}}}\n"
    if certificate is not None:
        pair = f"certificate: {certificate}/cert.pem, key: {certificate}/key.pem"
        config = config.replace("addr:", f"tls: {{{pair}}}, addr:")
    (folder / "config.yml").write_text(config)
    conf = folder / "home/.config/containers"
    conf.mkdir(parents=True)
    entry = f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n'
    (conf / "registries.conf").write_text(entry if trusted else "")
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdout=quiet, stderr=quiet) as process:
        try:
            _wait_for_port(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the registry did not start"
        time.sleep(0.05)
