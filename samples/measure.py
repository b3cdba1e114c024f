"""``make samples``: slims every sample, and writes samples/results.json and the table from it.

With names of samples, only those: nothing is written then, and what failed is shown.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import results
from fullimage import SampleError, full_image
from sample import HERE, load, names
from slimming import slim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sample import Sample
    from slimming import Slimmed

WORK = HERE / ".work"


def main(chosen: Sequence[str]) -> int:
    """The exit status: 1 where a sample is not as it is expected to be."""
    found = []
    try:
        for sample in map(load, chosen or names()):
            began = time.monotonic()
            found.append((sample, one(sample)))
            print(f"samples: {sample.name}: {time.monotonic() - began:.0f} s", flush=True)
    except SampleError as error:
        print(f"samples: {error}", file=sys.stderr)
        return 1
    wrong = [text for sample, slimmed in found for text in results.surprises(sample, slimmed)]
    for text in wrong:
        print(f"samples: {text}", file=sys.stderr)
    if not chosen:
        results.write(found)
    return 1 if wrong else 0


def one(sample: Sample) -> Slimmed:
    """A sample, slimmed in samples/.work, which keeps the full images for the next time."""
    image = full_image(sample, WORK / "full")
    folder = WORK / "slim" / sample.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return slim(sample, image, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
