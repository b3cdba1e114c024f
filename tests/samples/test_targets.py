"""The targets for the sizes of the samples, as sample.toml writes them."""

from __future__ import annotations

import pytest
from targets import parse_target


@pytest.mark.parametrize(
    ("target", "expected"),
    [("30", 30e6), ("binary + 8", 98e6), ("binary + 0.5", 90.5e6)],
)
def test_targets(target: str, expected: float) -> None:
    assert parse_target(target, binary=90_000_000) == expected


@pytest.mark.parametrize("target", ["", "30 MB", "binary", "+ 8", "binary - 8", "-1"])
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(ValueError, match="it is neither MB nor binary"):
        parse_target(target, binary=0)
