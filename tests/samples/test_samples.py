"""Every sample: traced in its full image, built at each level, verified, asked for late things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fullimage import full_image
from parts import need, need_root
from results import surprises, table
from sample import LEVELS, load, names
from slimming import slim

if TYPE_CHECKING:
    from pathlib import Path

HOST = {"jvm-late": ("javac",), "redis-persistence": ("redis-cli",), "postgres-alembic": ("psql",)}
"""What a sample's build and drivers need of this machine."""


@pytest.mark.parametrize("name", names())
def test_a_sample_is_as_its_table_says(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Below its level a probe must fail: what works anyway says nothing of the rules."""
    need_root()
    need("mmdebstrap", "umoci", "curl", *HOST.get(name, ()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    sample = load(name)
    slimmed = slim(sample, full_image(sample, shared / "samples"), tmp_path)
    assert list(surprises(sample, slimmed)) == []
    sizes = [slimmed.levels[level].files for level in LEVELS]
    assert sizes == sorted(sizes)
    assert sizes[1] < slimmed.files / 4
    assert sizes[-1] < slimmed.files
    assert name in table([(sample, slimmed)])
