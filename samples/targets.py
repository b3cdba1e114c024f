"""How small a sample's slim image is to be, and whether it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimming import DEFAULT

if TYPE_CHECKING:
    from sample import Sample
    from slimming import Slimmed

MB = 1_000_000


def limit(target: str, binary: int) -> float:
    """The bytes that ``30``, or ``binary + 8``, allows: MB, of an image that is unpacked.

    :param binary: bytes of the program that the app is.
    :raises ValueError: it is something else.
    """
    found = re.fullmatch(r"(binary \+ )?(\d+(?:\.\d+)?)", target)
    if found is None:
        raise ValueError(f"cannot use the target {target!r}: it is neither MB nor binary + MB")
    return float(found[2]) * MB + (binary if found[1] else 0)


def is_met(sample: Sample, slimmed: Slimmed) -> bool | None:
    """Whether the image that ``build`` makes by default is as small; None without a target."""
    if sample.target is None:
        return None
    return slimmed.levels[DEFAULT].unpacked <= limit(sample.target, slimmed.binary)
