"""Samples slimmed once for all tests of a session."""

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

HOST = {
    "go-cgo": ("go", "gcc"),
    "go-static": ("go",),
    "java-jar": ("javac", "jar"),
    "jvm-late": ("javac",),
    "node-express": ("npm",),
    "postgres-alembic": ("psql",),
    "redis-persistence": ("redis-cli",),
}
"""What a sample's build and drivers need of this machine."""


@contextmanager
def slim_sample(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Sample, Built]]:
    """A sample and what was built of it; no other test starts it until the block ends."""
    need_root()
    need("mmdebstrap", "umoci", "curl", *HOST.get(name, ()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    folder = shared / "samples" / "slim" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sample = load(name, *_ports(Path(f"{folder}.ports")))
        yield sample, slim(sample, full_image(sample, shared / "samples"), folder)


def _ports(file: Path) -> tuple[int, int]:
    """The ports that are in the image of a sample and its trace."""
    if not file.exists():
        file.write_text(f"{free_port()} {free_port()}")
    port, beside = map(int, file.read_text().split())
    return port, beside
