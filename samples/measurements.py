"""Measures of a sample what only ``make samples`` reports: all but its sizes."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import scanner
from commands import SampleError, call, run_slimtrace
from confinement import confine
from containers import find_working_flags
from sample_runner import run_peer
from start_times import measure_start_times
from volumes import make_empty_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from confinement import Confinement
    from sample import Sample
    from slim_image import BuiltSample
    from start_times import StartTimes


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of ``check`` for a platform.

    :ivar counts: the number of rules that pass, warn and fail.
    :ivar broken: the rules that warn or fail, and the details of each.
    """

    platform: str
    counts: Mapping[str, int]
    broken: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements; each is None if it cannot be measured on this machine.

    :ivar packages: the number of packages that a scanner finds, by the type of their purls.
    """

    times: StartTimes | None
    packages: Mapping[str, int] | None
    checked: CheckResult | None
    confined: Confinement | None


def measure(sample: Sample, built: BuiltSample, tools: Path) -> Measurements:
    """Measure the image that ``build`` makes by default.

    :param tools: a folder for the scanner, which all samples share.
    :raises SampleError: a start without confinement failed.
    """
    return Measurements(
        measure_start_times(sample, built.full, built.image()),
        _scan_packages(built.image(), tools),
        _check(sample, built),
        _confine(sample, built),
    )


def _scan_packages(image: str, tools: Path) -> Mapping[str, int] | None:
    with tempfile.TemporaryDirectory() as folder:
        tree = f"{folder}/image"
        call("umoci", "unpack", "--image", image.removeprefix("oci:"), tree)
        try:
            return scanner.scan(tools, f"{tree}/rootfs").counts
        except scanner.NoScannerError:
            return None


def _confine(sample: Sample, built: BuiltSample) -> Confinement | None:
    try:
        find_working_flags()
    except SampleError:
        return None
    return confine(sample, built)


def _check(sample: Sample, built: BuiltSample) -> CheckResult:
    """:raises SampleError: ``check`` printed no result."""
    run = sample.runs[0]
    platform = "docker" if run.ready is None else "kubernetes"
    argv = ["check", built.image(), "--platform", platform, "--json"]
    if run.ready is not None:
        argv += ["--ready", run.ready]
    with run_peer(sample, built.full), make_empty_volumes(sample) as volumes:
        for volume in volumes:
            argv += ["--volume", volume]
        done = run_slimtrace(*argv, "--", *run.command)
    if not done.stdout:
        raise SampleError(f"{sample.name}: cannot check: {done.stderr}")
    document = json.loads(done.stdout)
    counts = {status: document["counts"][status] for status in ("pass", "warn", "fail")}
    broken = {
        rule["rule"]: rule["detail"]
        for rule in document["rules"]
        if rule["status"] in {"warn", "fail"}
    }
    return CheckResult(platform, counts, broken)
