"""A cache of its own for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.sources import cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache.cache_folder()
