"""Every sample: traced in its full image, built at each level, verified and probed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from results import list_surprises
from sample import list_samples
from slim_image import examine
from slim_samples import slim_sample

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", list_samples())
def test_a_sample_is_as_its_table_says(
    shared: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Below its level a probe must fail: else it proves nothing about the rules."""
    with slim_sample(name, shared, monkeypatch) as (sample, built):
        found = examine(sample, built)
    assert list(list_surprises(sample, found)) == []
    sizes = [found.levels[level].files for level in found.levels]
    assert sizes == sorted(sizes)
    assert sizes[1] < found.files / 4
    assert sizes[-1] < found.files
