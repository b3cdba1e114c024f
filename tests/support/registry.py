"""A real registry on loopback, and a home whose configuration trusts it without TLS."""

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
_SECONDS = 30


@contextmanager
def run_registry(folder: Path, *, users: str = "") -> Iterator[str]:
    """``HOST:PORT`` of a registry, for as long as the block lasts.

    :param folder: gets its data, and ``home`` for skopeo's user.
    :param users: lines as of htpasswd, by bcrypt; all others are refused then.
    """
    need("docker-registry", "skopeo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = _CONFIG.format(folder=folder, port=port)
    if users:
        (folder / "users").write_text(users)
        config += f"auth: {{htpasswd: {{realm: test, path: {folder}/users}}}}\n"
    (folder / "config.yml").write_text(config)
    conf = folder / "home/.config/containers"
    conf.mkdir(parents=True)
    trusted = f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n'
    (conf / "registries.conf").write_text(trusted)
    words = ["docker-registry", "serve", str(folder / "config.yml")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=quiet, stderr=quiet) as process:
        try:
            _await(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def _await(port: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the registry does not serve"
        time.sleep(0.05)
