"""The targets for the sizes of the samples' slim images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slim_image import DEFAULT

if TYPE_CHECKING:
    from sample import Sample
    from slim_image import SlimResult

MB = 1_000_000


def parse_target(target: str, binary: int) -> float:
    """Parse a target: ``30`` or ``binary + 8``, in MB unpacked; returns bytes.

    :param binary: the size of the app's program, in bytes.
    :raises ValueError: ``target`` has another form.
    """
    match = re.fullmatch(r"(binary \+ )?(\d+(?:\.\d+)?)", target)
    if match is None:
        raise ValueError(f"cannot use the target {target!r}: it is neither MB nor binary + MB")
    return float(match[2]) * MB + (binary if match[1] else 0)


def meets_target(sample: Sample, slimmed: SlimResult) -> bool | None:
    """Whether the image that ``build`` makes by default meets the target; None without one."""
    if sample.target is None:
        return None
    return slimmed.levels[DEFAULT].unpacked <= parse_target(sample.target, slimmed.binary)
