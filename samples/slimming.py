"""A sample's way: traced in its full image, built at three levels, verified, asked."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asking import ask
from commands import slimtrace
from fullimage import SampleError
from sample import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from asking import Answer
    from sample import Sample


@dataclass(frozen=True, slots=True)
class Level:
    """A slim image. Sizes are bytes: unpacked, and of the compressed layers.

    :ivar reasons: how many entries are there for each reason.
    :ivar verified: whether ``verify`` said yes; ``lacking`` what it said.
    """

    files: int
    unpacked: int
    compressed: int
    reasons: Mapping[str, int]
    verified: bool
    lacking: Sequence[str]
    answers: Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class Slimmed:
    """What became of a sample; the sizes are the full image's."""

    files: int
    unpacked: int
    compressed: int
    levels: Mapping[str, Level]


def slim(sample: Sample, image: str, folder: Path) -> Slimmed:
    """Trace the sample's runs and build, verify and ask its image at each level.

    :param image: its full image, ``oci:DIR:TAG``.
    :param folder: empty; the trace and the slim images are left there.
    :raises SampleError: a run or a build failed.
    """
    with _volumes(sample) as volumes:
        trace = trace_runs(sample, image, folder, volumes)
        built = {level: build(sample, trace, folder, level) for level in LEVELS}
        levels = {level: _examined(sample, trace, folder, level, built[level]) for level in LEVELS}
    most = built[LEVELS[-1]]
    return Slimmed(
        most["kept"]["files"] + most["dropped"]["files"],
        most["kept"]["bytes"] + most["dropped"]["bytes"],
        compressed_size(image),
        levels,
    )


def trace_runs(sample: Sample, image: str, folder: Path, volumes: Sequence[str]) -> str:
    """The trace of all runs.

    :raises SampleError: one failed.
    """
    trace = str(folder / "trace")
    for run in sample.runs:
        words = ["-q", "run", "--image", image, "-o", trace, "--append"]
        for volume in volumes:
            words += ["-v", volume]
        if run.ready is not None:
            words += ["--ready", run.ready]
        for path in run.get:
            words += ["--http-get", path]
        for command in run.exec:
            words += ["--exec", command]
        for command in run.exec_in:
            words += ["--exec-in", command]
        if run.ready is not None and not (run.get or run.exec or run.exec_in):
            words += ["--exec", "true"]
        done = slimtrace(*words, "--", *run.command)
        if done.returncode not in (0, 143):
            raise SampleError(f"{sample.name}: cannot trace: {done.returncode}\n{done.stderr}")
    return trace


def build(sample: Sample, trace: str, folder: Path, level: str) -> dict[str, Any]:
    """What ``build --json`` says of the image of a level.

    :raises SampleError: it failed.
    """
    words = ["build", trace, "-o", f"oci:{folder}/{level}:latest", "--keep", level, "--json"]
    words += sample.build
    for glob in sample.include:
        words += ["--include", glob]
    done = slimtrace(*words)
    if done.returncode != 0:
        raise SampleError(f"{sample.name}: cannot build {level}: {done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _examined(
    sample: Sample, trace: str, folder: Path, level: str, told: Mapping[str, Any]
) -> Level:
    image = f"oci:{folder}/{level}:latest"
    done = slimtrace("verify", image, "--trace", trace, "--json")
    if not done.stdout:
        raise SampleError(f"{sample.name}: cannot verify {level}: {done.stderr}")
    verdict = json.loads(done.stdout)
    lacking = [item["path"] for item in verdict["missing"]]
    lacking += [text for run in verdict["runs"] for text in run["differences"]]
    with _volumes(sample) as volumes:
        answers = {probe.name: ask(sample, probe, image, volumes) for probe in sample.probes}
    return Level(
        told["kept"]["files"],
        told["image"]["uncompressed"],
        told["image"]["size"],
        told["reasons"],
        bool(verdict["verified"]),
        lacking,
        answers,
    )


@contextmanager
def _volumes(sample: Sample) -> Iterator[list[str]]:
    """Words for ``--volume``, each with an empty folder that anybody may write."""
    with tempfile.TemporaryDirectory() as top:
        words = []
        for number, path in enumerate(sample.volumes):
            os.mkdir(f"{top}/{number}")
            os.chmod(f"{top}/{number}", 0o777)  # noqa: S103 -- as a new volume of an engine
            words.append(f"{top}/{number}:{path}")
        yield words


def compressed_size(image: str) -> int:
    """Bytes of the layers of ``oci:DIR:TAG`` as they are stored (OCI image-spec)."""
    layout, _, tag = image.removeprefix("oci:").rpartition(":")
    with open(f"{layout}/index.json") as file:
        manifests = json.load(file)["manifests"]
    name = "org.opencontainers.image.ref.name"
    (digest,) = (item["digest"] for item in manifests if item["annotations"].get(name) == tag)
    with open(f"{layout}/blobs/{digest.replace(':', '/')}") as file:
        return sum(layer["size"] for layer in json.load(file)["layers"])
