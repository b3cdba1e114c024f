"""The sample that another needs at work: the store of a web service, the server of a migration."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fullimage import SampleError, full_image
from sample import load_beside
from volumes import make_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sample import Sample

SECONDS = 60.0
"""Until it is ready, and until it is at its end."""


@contextmanager
def beside(sample: Sample, full: str) -> Iterator[None]:
    """What a sample needs runs in its full image until the block ends; nothing if it needs none.

    It begins anew each time, with empty volumes.

    :param full: the sample's own full image, ``oci:DIR:TAG``; the other's is made beside it.
    :raises SampleError: it does not become ready.
    """
    other = load_beside(sample)
    if other is None:
        yield
        return
    image = _full_image(other, Path(full.removeprefix("oci:")).parent)
    with at_work(other, image):
        yield


_full_image = cache(full_image)
"""Made once: an image made anew would be unpacked anew."""


@contextmanager
def at_work(sample: Sample, image: str, trace: str | None = None) -> Iterator[None]:
    """A sample's image runs, and is stopped as engines stop containers when the block ends.

    :param image: ``oci:DIR:TAG``; ``trace`` is where its trace goes, None for nowhere.
    :raises SampleError: it does not become ready, or ends otherwise than stopped.
    """
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 -- the app may be another user
        flag, output = Path(top) / "wanted", Path(top) / "output"
        words = ["-q", "run", "--image", image, "-o", trace or f"{top}/trace"]
        for volume in make_volumes(sample, f"{top}/volumes"):
            words += ["-v", volume]
        ready = sample.runs[0].ready
        assert ready is not None, f"{sample.name}: nothing shows that it is ready"
        # What drives it ends when it is no longer wanted; then it is stopped.
        words += [
            "--ready",
            ready,
            "--exec",
            f"touch {flag}; while test -e {flag}; do sleep .1; done",
        ]
        with open(output, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "slimtrace", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            _await(sample, process, flag, output)
            yield
        finally:
            flag.unlink(missing_ok=True)
            status = process.wait(SECONDS)
        if status not in (0, 143):
            raise SampleError(f"{sample.name}: it ended with {status}: {output.read_text()}")


def _await(sample: Sample, process: subprocess.Popen[bytes], flag: Path, output: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not flag.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise SampleError(f"{sample.name}: it is not ready: {output.read_text()}")
        time.sleep(0.05)
