"""Makes the volumes of samples."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sample import Sample


@contextmanager
def make_empty_volumes(sample: Sample) -> Iterator[list[str]]:
    """Make an empty folder for each volume until the block ends; yields values for ``--volume``."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 -- the app may be another user
        yield make_volumes(sample, top)


def make_volumes(sample: Sample, top: str) -> list[str]:
    """Make a folder for each volume, writable by all users; returns values for ``--volume``."""
    values = []
    for number, path in enumerate(sample.volumes):
        source = f"{top}/{number}"
        os.makedirs(source)
        os.chmod(source, 0o777)  # noqa: S103 -- as a new volume of an engine
        values.append(f"{source}:{path}")
    return values
