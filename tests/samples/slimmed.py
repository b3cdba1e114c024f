"""Samples slimmed once for all tests of a session."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fullimage import full_image
from parts import need, need_root
from sample import load
from slimming import slim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from sample import Sample
    from slimming import Built

HOST = {"jvm-late": ("javac",), "redis-persistence": ("redis-cli",), "postgres-alembic": ("psql",)}
"""What a sample's build and drivers need of this machine."""


@contextmanager
def slimmed(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Sample, Built]]:
    """A sample and what was built of it; until the block ends, no other test starts it.

    Its port is one for all.
    """
    need_root()
    need("mmdebstrap", "umoci", "curl", *HOST.get(name, ()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    sample = load(name)
    folder = shared / "samples" / "slim" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield sample, slim(sample, full_image(sample, shared / "samples"), folder)
