"""Where samples keep what outlives a start."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sample import Sample


@contextmanager
def empty_volumes(sample: Sample) -> Iterator[list[str]]:
    """Words for ``--volume``, each with an empty folder that is gone when the block ends."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 -- the app may be another user
        yield make_volumes(sample, top)


def make_volumes(sample: Sample, top: str) -> list[str]:
    """Words for ``--volume``, each with a new folder in ``top`` that anybody may write."""
    words = []
    for number, path in enumerate(sample.volumes):
        source = f"{top}/{number}"
        os.makedirs(source)
        os.chmod(source, 0o777)  # noqa: S103 -- as a new volume of an engine
        words.append(f"{source}:{path}")
    return words
