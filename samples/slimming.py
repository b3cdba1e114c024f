"""A sample's way: traced in its full image, built at three levels, verified, asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asking import ask
from beside import beside
from commands import slimtrace
from fullimage import SampleError
from sample import LEVELS
from volumes import empty_volumes, make_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from asking import Answer
    from sample import Sample

DEFAULT = "closure"
"""What ``build`` keeps unless it is told otherwise."""


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
    """What became of a sample; the sizes are the full image's.

    :ivar binary: bytes of the app's program, as binary_size has it.
    """

    files: int
    unpacked: int
    compressed: int
    levels: Mapping[str, Level]
    binary: int


@dataclass(frozen=True, slots=True)
class Built:
    """A sample's trace and slim images, in a folder.

    :ivar full: the full image, ``oci:DIR:TAG``.
    :ivar told: what ``build --json`` said of each level.
    """

    folder: Path
    full: str
    told: Mapping[str, Mapping[str, Any]]

    @property
    def trace(self) -> str:
        """Of all runs."""
        return str(self.folder / "trace")

    def image(self, level: str = DEFAULT) -> str:
        """The slim image, ``oci:DIR:TAG``."""
        return f"oci:{self.folder}/{level}:latest"


def slim(sample: Sample, image: str, folder: Path) -> Built:
    """Trace the sample's runs and build its image at each level, or find that done.

    :param image: its full image, ``oci:DIR:TAG``.
    :param folder: new, or what was built there before, with the same ports.
    :raises SampleError: a run or a build failed.
    """
    told = folder / "told.json"
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a slimming that failed
        folder.mkdir(parents=True)
        volumes = make_volumes(sample, f"{folder}/volumes")  # verify mounts them again
        with beside(sample, image):
            trace = trace_runs(sample, image, folder, volumes)
        built = {level: build(sample, trace, folder, level) for level in LEVELS}
        told.write_text(json.dumps(built))
    return Built(folder, image, json.loads(told.read_text()))


def examine(sample: Sample, built: Built) -> Slimmed:
    """Verify and ask the image of each level.

    :raises SampleError: what has to work everywhere did not.
    """
    full = built.told[DEFAULT]["full"]
    return Slimmed(
        *(full["files"], full["bytes"]),
        compressed_size(built.full),
        {level: _examined(sample, built, level) for level in LEVELS},
        binary_size(built),
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


def _examined(sample: Sample, built: Built, level: str) -> Level:
    image, told = built.image(level), built.told[level]
    with beside(sample, built.full):
        done = slimtrace("verify", image, "--trace", built.trace, "--json")
    if not done.stdout:
        raise SampleError(f"{sample.name}: cannot verify {level}: {done.stderr}")
    verdict = json.loads(done.stdout)
    lacking = [item["path"] for item in verdict["missing"]]
    lacking += [text for run in verdict["runs"] for text in run["differences"]]
    with beside(sample, built.full), empty_volumes(sample) as volumes:
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


def binary_size(built: Built) -> int:
    """Bytes of the program that the first run executes first, as it is in the slim image.

    With the shared libraries that it read, which a static build of it would hold: Debian's node
    has 27 kB, and the rest of Node.js is libnode, ICU and OpenSSL.
    """
    trace = json.loads(slimtrace("show", built.trace, "--json").stdout)
    first = trace["processes"][0]
    read = {
        os.path.basename(file["path"])
        for file in trace["files"]
        if "read" in file["uses"] and first["id"] in file["processes"]
    }
    entries = [entry for layer in _layers(built.image()) for entry in _entries(layer["blob"])]
    names = {name for name in read if re.search(r"\.so(\.\d|$)", name)}
    names |= {os.path.basename(first["exe"])}
    links = [entry for entry in entries if os.path.basename(entry.name) in names]
    names |= {os.path.basename(link.linkname) for link in links if link.issym()}
    return sum(entry.size for entry in entries if os.path.basename(entry.name) in names)


def _entries(layer: str) -> list[tarfile.TarInfo]:
    with tarfile.open(layer) as tar:
        return tar.getmembers()


def compressed_size(image: str) -> int:
    """Bytes of the layers of ``oci:DIR:TAG`` as they are stored (OCI image-spec)."""
    return sum(layer["size"] for layer in _layers(image))


def _layers(image: str) -> list[dict[str, Any]]:
    """What the manifest says of each layer, and the path of its ``blob``."""
    layout, _, tag = image.removeprefix("oci:").rpartition(":")
    with open(f"{layout}/index.json") as file:
        manifests = json.load(file)["manifests"]
    name = "org.opencontainers.image.ref.name"
    (digest,) = (item["digest"] for item in manifests if item["annotations"].get(name) == tag)
    with open(_blob(layout, digest)) as file:
        layers = json.load(file)["layers"]
    return [{**layer, "blob": _blob(layout, layer["digest"])} for layer in layers]


def _blob(layout: str, digest: str) -> str:
    return f"{layout}/blobs/{digest.replace(':', '/')}"
