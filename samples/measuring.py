"""What is measured of a sample beside its sizes, for ``make samples`` alone."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import scanner
from commands import slimtrace
from containers import working_flags
from fullimage import SampleError, call
from hardened import confine
from timing import times

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hardened import Confined
    from sample import Sample
    from slimming import Built
    from timing import Times


@dataclass(frozen=True, slots=True)
class Measured:
    """Each None where it cannot be measured here.

    :ivar packages: how many a scanner knows, by the type of their purls.
    :ivar checked: how many rules of ``check`` gave which answer.
    """

    times: Times | None
    packages: Mapping[str, int] | None
    checked: Mapping[str, int] | None
    confined: Confined | None


def measure(sample: Sample, built: Built, tools: Path) -> Measured:
    """Measure the image that ``build`` makes by default.

    :param tools: a folder for the scanner, which all samples share.
    :raises SampleError: a start failed that confines nothing.
    """
    return Measured(
        times(sample, built.full, built.image()),
        _packages(built.image(), tools),
        _checked(sample, built.image()),
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
    return confine(sample, built.trace, built.image())


def _checked(sample: Sample, image: str) -> Mapping[str, int] | None:
    """None as long as there is no such command."""
    platform = "docker" if sample.runs[0].ready is None else "kubernetes"
    done = slimtrace("check", image, "--platform", platform, "--json")
    if not done.stdout:
        return None
    return Counter(rule["outcome"] for rule in json.loads(done.stdout)["rules"])
