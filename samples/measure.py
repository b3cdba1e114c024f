"""``make samples``: slims and measures every sample, and says what came of it in a table.

It writes samples/results.json and README.md's tables from that. With names of samples, it does
only those and writes nothing. What is not as it is to be is shown in any case.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import results
from fullimage import SampleError, full_image
from measuring import measure
from sample import HERE, load, names
from slimming import examine, slim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring import Measured
    from sample import Sample
    from slimming import Slimmed

WORK = HERE / ".work"


def main(chosen: Sequence[str]) -> int:
    """The exit status: 1 where a sample is not as it is expected to be."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is open is closed
    found, is_well = [], True
    for sample in map(load, chosen or names()):
        began = time.monotonic()
        try:
            found.append((sample, *one(sample)))
            wrong = [*results.faults(*found[-1])]
        except SampleError as error:
            wrong = [str(error)]
        print(f"samples: {sample.name}: {time.monotonic() - began:.0f} s", flush=True)
        for text in wrong:
            print(f"samples: {text}", file=sys.stderr, flush=True)
        is_well = is_well and not wrong
    print(results.table(found))
    if not chosen and len(found) == len(names()):
        results.write(found)
    return 0 if is_well else 1


def one(sample: Sample) -> tuple[Slimmed, Measured]:
    """A sample, slimmed in samples/.work, which keeps the full images for the next time.

    Not so slimtrace's cache of them: with another port each is another image.
    """
    image = full_image(sample, WORK / "full")
    folder = WORK / "slim" / sample.name
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=WORK) as cache:
        os.chmod(cache, 0o755)  # noqa: S103 -- the app may be another user
        os.environ["XDG_CACHE_HOME"] = cache
        built = slim(sample, image, folder)
        return examine(sample, built), measure(sample, built, WORK / "tools")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
