"""``make samples``: slims and measures every sample, and prints the results as a table.

It writes samples/results.json and the tables of README.md. With names of samples as arguments, it
measures only these and writes nothing. It always prints what is not as expected.
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
from commands import SampleError
from full_image import make_full_image
from measurements import measure
from sample import HERE, list_samples, load_sample
from slim_image import examine, trace_and_build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measurements import Measurements
    from sample import Sample
    from slim_image import SlimResult

WORK = HERE / ".work"


def main(names: Sequence[str]) -> int:
    """Measure the samples; returns the exit status: 1 if a sample is not as expected."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the finally blocks
    measured, succeeded = [], True
    for sample in map(load_sample, names or list_samples()):
        began = time.monotonic()
        try:
            measured.append((sample, *measure_sample(sample)))
            faults = [*results.list_faults(*measured[-1])]
        except SampleError as error:
            faults = [str(error)]
        print(f"samples: {sample.name}: {time.monotonic() - began:.0f} s", flush=True)
        for text in faults:
            print(f"samples: {text}", file=sys.stderr, flush=True)
        succeeded = succeeded and not faults
    print(results.make_table(measured))
    if not names and len(measured) == len(list_samples()):
        results.write_results(measured)
    return 0 if succeeded else 1


def measure_sample(sample: Sample) -> tuple[SlimResult, Measurements]:
    """Slim and measure a sample in samples/.work, which keeps the full images for the next time.

    It does not keep slimtrace's cache of them: an image with another port is another image.
    """
    image = make_full_image(sample, WORK / "full")
    folder = WORK / "slim" / sample.name
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=WORK) as cache:
        os.chmod(cache, 0o755)  # noqa: S103 -- the app may be another user
        os.environ["XDG_CACHE_HOME"] = cache
        built = trace_and_build(sample, image, folder)
        return examine(sample, built), measure(sample, built, WORK / "tools")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
