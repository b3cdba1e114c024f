"""Slim images of the samples, built once for all tests of a session."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fullimage import full_image
from requirements import need, need_root
from sample import free_port, load
from slimming import slim

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from sample import Sample
    from slimming import Built

COMMANDS = {
    "go-cgo": ("go", "gcc"),
    "go-static": ("go",),
    "java-jar": ("javac", "jar"),
    "jvm-late": ("javac",),
    "node-express": ("npm",),
    "postgres-alembic": ("psql",),
    "redis-persistence": ("redis-cli",),
}
"""The programs of this machine that a sample's build and drivers need."""


@contextmanager
def slim_sample(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Sample, Built]]:
    """Build a sample's slim image; no other test runs this sample until the block ends."""
    need_root()
    need("mmdebstrap", "umoci", "curl", *COMMANDS.get(name, ()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    folder = shared / "samples" / "slim" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sample = load(name, *_ports(Path(f"{folder}.ports")))
        yield sample, slim(sample, full_image(sample, shared / "samples"), folder)


def _ports(file: Path) -> tuple[int, int]:
    """Read or choose the ports that a sample's image and trace contain."""
    if not file.exists():
        file.write_text(f"{free_port()} {free_port()}")
    port, beside = map(int, file.read_text().split())
    return port, beside
