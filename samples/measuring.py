"""What is measured of a sample beside its sizes, for ``make samples`` alone."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import scanner
from beside import beside
from commands import slimtrace
from containers import working_flags
from fullimage import SampleError, call
from hardened import confine
from timing import times
from volumes import empty_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hardened import Confined
    from sample import Sample
    from slimming import Built
    from timing import Times


@dataclass(frozen=True, slots=True)
class Checked:
    """What ``check`` says of an image for a platform.

    :ivar counts: how many rules came to pass, warn and fail.
    :ivar broken: what was found by those that did not pass.
    """

    platform: str
    counts: Mapping[str, int]
    broken: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """Each None where it cannot be measured here.

    :ivar packages: how many a scanner knows, by the type of their purls.
    """

    times: Times | None
    packages: Mapping[str, int] | None
    checked: Checked | None
    confined: Confined | None


def measure(sample: Sample, built: Built, tools: Path) -> Measured:
    """Measure the image that ``build`` makes by default.

    :param tools: a folder for the scanner, which all samples share.
    :raises SampleError: a start failed that confines nothing.
    """
    return Measured(
        times(sample, built.full, built.image()),
        _packages(built.image(), tools),
        _checked(sample, built),
        _confined(sample, built),
    )


def _packages(image: str, tools: Path) -> Mapping[str, int] | None:
    with tempfile.TemporaryDirectory() as folder:
        tree = f"{folder}/image"
        call("umoci", "unpack", "--image", image.removeprefix("oci:"), tree)
        try:
            return scanner.scan(tools, f"{tree}/rootfs").counts
        except scanner.NoScannerError:
            return None


def _confined(sample: Sample, built: Built) -> Confined | None:
    try:
        working_flags()
    except SampleError:
        return None
    return confine(sample, built)


def _checked(sample: Sample, built: Built) -> Checked:
    """:raises SampleError: there is no answer."""
    run = sample.runs[0]
    platform = "docker" if run.ready is None else "kubernetes"
    words = ["check", built.image(), "--platform", platform, "--json"]
    if run.ready is not None:
        words += ["--ready", run.ready]
    with beside(sample, built.full), empty_volumes(sample) as volumes:
        for volume in volumes:
            words += ["--volume", volume]
        done = slimtrace(*words, "--", *run.command)
    if not done.stdout:
        raise SampleError(f"{sample.name}: cannot check: {done.stderr}")
    document = json.loads(done.stdout)
    counts = {status: document["counts"][status] for status in ("pass", "warn", "fail")}
    broken = {
        rule["rule"]: rule["detail"]
        for rule in document["rules"]
        if rule["status"] in {"warn", "fail"}
    }
    return Checked(platform, counts, broken)
