"""Runs samples in their images, also those that another needs, such as a database server."""

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

from commands import SampleError
from full_image import make_full_image
from sample import load_peer
from volumes import make_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sample import Sample

SECONDS = 600.0
"""How long it may take to be ready, and to end."""


@contextmanager
def run_peer(sample: Sample, full: str) -> Iterator[None]:
    """Run the peer of a sample, if it has one, in the peer's full image until the block ends.

    It starts with empty volumes.

    :param full: the sample's full image, ``oci:DIR:TAG``; the peer's is made in the same folder.
    :raises SampleError: the peer does not become ready.
    """
    peer = load_peer(sample)
    if peer is None:
        yield
        return
    image = _full_image(peer, Path(full.removeprefix("oci:")).parent)
    with run_sample(peer, image):
        yield


_full_image = cache(make_full_image)
"""Makes an image once, because each new image would be unpacked again."""


@contextmanager
def run_sample(sample: Sample, image: str, trace: str | None = None) -> Iterator[None]:
    """Run a sample's image until the block ends; then stop it as engines stop containers.

    :param image: ``oci:DIR:TAG``.
    :param trace: the path for its trace; None to delete it.
    :raises SampleError: it does not become ready, or fails.
    """
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 -- the app may be another user
        flag, output = Path(top) / "running", Path(top) / "output"
        argv = ["-q", "run", "--image", image, "-o", trace or f"{top}/trace"]
        for volume in make_volumes(sample, f"{top}/volumes"):
            argv += ["-v", volume]
        ready = sample.runs[0].ready
        assert ready is not None, f"{sample.name}: it has no ready check"
        # The driver ends when the flag is removed; then slimtrace stops the app.
        argv += [
            "--ready",
            ready,
            "--exec",
            f"touch {flag}; while test -e {flag}; do sleep .1; done",
        ]
        with open(output, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "slimtrace", *argv],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            _wait_until_ready(sample, process, flag, output)
            yield
        finally:
            flag.unlink(missing_ok=True)
            status = process.wait(SECONDS)
        if status != 0:
            raise SampleError(f"{sample.name}: it ended with {status}: {output.read_text()}")


def _wait_until_ready(
    sample: Sample, process: subprocess.Popen[bytes], flag: Path, output: Path
) -> None:
    deadline = time.monotonic() + SECONDS
    while not flag.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise SampleError(f"{sample.name}: it is not ready: {output.read_text()}")
        time.sleep(0.05)
