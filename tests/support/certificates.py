"""Certificates for servers on this machine."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from requirements import need

if TYPE_CHECKING:
    from pathlib import Path


def make_certificate(folder: Path) -> None:
    """Make a key and a self-signed certificate for localhost: ``key.pem`` and ``cert.pem``."""
    need("openssl")
    folder.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
