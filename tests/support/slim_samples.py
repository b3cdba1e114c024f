"""Slim images of the samples, built once for all tests of a session."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from full_image import make_full_image
from requirements import need, need_root
from sample import find_free_port, load_sample
from slim_image import trace_and_build

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from sample import Sample
    from slim_image import BuiltSample

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
) -> Iterator[tuple[Sample, BuiltSample]]:
    """Build a sample's slim image; no other test runs this sample until the block ends."""
    need_root()
    need("mmdebstrap", "umoci", "curl", *COMMANDS.get(name, ()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    folder = shared / "samples" / "slim" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sample = load_sample(name, *_ports(Path(f"{folder}.ports")))
        image = make_full_image(sample, shared / "samples")
        yield sample, trace_and_build(sample, image, folder, sample.tested_levels)


def _ports(file: Path) -> tuple[int, int]:
    """Read or choose the ports that a sample's image and trace contain."""
    if not file.exists():
        file.write_text(f"{find_free_port()} {find_free_port()}")
    port, beside = map(int, file.read_text().split())
    return port, beside
