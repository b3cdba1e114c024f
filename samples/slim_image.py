"""Traces a sample in its full image, builds it at four levels, verifies and probes the images."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commands import SampleError, run_slimtrace
from probe_runner import run_probe
from sample import LEVELS
from sample_runner import run_peer
from volumes import make_empty_volumes, make_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from probe_runner import Answer
    from sample import Sample

DEFAULT = "app"
"""The default of ``build --keep``."""


@dataclass(frozen=True, slots=True)
class Level:
    """A slim image. Sizes are bytes: unpacked, and of the compressed layers.

    :ivar reasons: the number of entries for each reason.
    :ivar verified: whether ``verify`` succeeded.
    :ivar differences: the missing paths and the differences that ``verify`` found.
    """

    files: int
    unpacked: int
    compressed: int
    reasons: Mapping[str, int]
    verified: bool
    differences: Sequence[str]
    answers: Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class SlimResult:
    """The results of a sample; the sizes are those of the full image.

    :ivar binary: bytes of the app's program, from :func:`get_binary_size`.
    """

    files: int
    unpacked: int
    compressed: int
    levels: Mapping[str, Level]
    binary: int


@dataclass(frozen=True, slots=True)
class BuiltSample:
    """A sample's trace and slim images, in a folder.

    :ivar full: the full image, ``oci:DIR:TAG``.
    :ivar build_documents: the output of ``build --json`` for each level.
    """

    folder: Path
    full: str
    build_documents: Mapping[str, Mapping[str, Any]]

    @property
    def trace(self) -> str:
        """The path of the trace of all runs."""
        return str(self.folder / "trace")

    def image(self, level: str = DEFAULT) -> str:
        """The slim image, ``oci:DIR:TAG``."""
        return f"oci:{self.folder}/{level}:latest"


def trace_and_build(
    sample: Sample, image: str, folder: Path, levels: Sequence[str] = LEVELS
) -> BuiltSample:
    """Trace the sample's runs and build its image at each level, unless the folder has them.

    :param image: its full image, ``oci:DIR:TAG``.
    :param folder: a new folder, or one that was built before with the same ports.
    :raises SampleError: a run or a build failed.
    """
    documents = folder / "build.json"
    if not documents.exists():
        shutil.rmtree(folder, ignore_errors=True)  # from a build that failed
        folder.mkdir(parents=True)
        volumes = make_volumes(sample, f"{folder}/volumes")  # verify mounts them again
        with run_peer(sample, image):
            trace = trace_runs(sample, image, folder, volumes)
        built = {level: build_level(sample, trace, folder, level) for level in levels}
        documents.write_text(json.dumps(built))
    return BuiltSample(folder, image, json.loads(documents.read_text()))


def examine(sample: Sample, built: BuiltSample) -> SlimResult:
    """Verify and probe the image of each level.

    :raises SampleError: ``verify`` printed no result.
    """
    full = built.build_documents[DEFAULT]["full"]
    return SlimResult(
        *(full["files"], full["bytes"]),
        get_compressed_size(built.full),
        {level: _examine_level(sample, built, level) for level in built.build_documents},
        get_binary_size(built),
    )


def trace_runs(sample: Sample, image: str, folder: Path, volumes: Sequence[str]) -> str:
    """Trace all runs; returns the path of the trace.

    :raises SampleError: a run failed.
    """
    trace = str(folder / "trace")
    for run in sample.runs:
        argv = ["-q", "run", "--image", image, "-o", trace, "--append"]
        for volume in volumes:
            argv += ["-v", volume]
        if run.ready is not None:
            argv += ["--ready", run.ready]
        for path in run.get:
            argv += ["--http-get", path]
        for command in run.exec:
            argv += ["--exec", command]
        for command in run.exec_in:
            argv += ["--exec-in", command]
        if run.ready is not None and not (run.get or run.exec or run.exec_in):
            argv += ["--exec", "true"]
        done = run_slimtrace(*argv, "--", *run.command)
        if done.returncode != 0:
            raise SampleError(f"{sample.name}: cannot trace: {done.returncode}\n{done.stderr}")
    return trace


def build_level(sample: Sample, trace: str, folder: Path, level: str) -> dict[str, Any]:
    """Build the image of a level; returns the output of ``build --json``.

    :raises SampleError: the build failed.
    """
    argv = ["build", trace, "-o", f"oci:{folder}/{level}:latest", "--keep", level, "--json"]
    argv += sample.build
    for glob in sample.include:
        argv += ["--include", glob]
    done = run_slimtrace(*argv)
    if done.returncode != 0:
        raise SampleError(f"{sample.name}: cannot build {level}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _examine_level(sample: Sample, built: BuiltSample, level: str) -> Level:
    image, document = built.image(level), built.build_documents[level]
    with run_peer(sample, built.full):
        done = run_slimtrace("verify", image, "--trace", built.trace, "--json")
    if not done.stdout:
        raise SampleError(f"{sample.name}: cannot verify {level}: {done.stderr}")
    verdict = json.loads(done.stdout)
    differences = [item["path"] for item in verdict["missing"]]
    differences += [text for run in verdict["runs"] for text in run["differences"]]
    with run_peer(sample, built.full), make_empty_volumes(sample) as volumes:
        answers = {probe.name: run_probe(sample, probe, image, volumes) for probe in sample.probes}
    return Level(
        document["kept"]["files"],
        document["image"]["uncompressed"],
        document["image"]["size"],
        document["reasons"],
        bool(verdict["verified"]),
        differences,
        answers,
    )


def get_binary_size(built: BuiltSample) -> int:
    """Bytes of the first program of the first run, and of the shared libraries that it read.

    A static build would contain these libraries: Debian's node has only 27 kB, and the rest of
    Node.js is in libnode, ICU and OpenSSL. The files are those of the slim image.
    """
    trace = json.loads(run_slimtrace("show", built.trace, "--json").stdout)
    first = trace["processes"][0]
    read = {
        os.path.basename(file["path"])
        for file in trace["files"]
        if "read" in file["uses"] and first["id"] in file["processes"]
    }
    entries = [
        entry for layer in _read_layers(built.image()) for entry in _list_entries(layer["blob"])
    ]
    names = {name for name in read if re.search(r"\.so(\.\d|$)", name)}
    names |= {os.path.basename(first["exe"])}
    links = [entry for entry in entries if os.path.basename(entry.name) in names]
    names |= {os.path.basename(link.linkname) for link in links if link.issym()}
    return sum(entry.size for entry in entries if os.path.basename(entry.name) in names)


def _list_entries(layer: str) -> list[tarfile.TarInfo]:
    with tarfile.open(layer) as tar:
        return tar.getmembers()


def get_compressed_size(image: str) -> int:
    """Bytes of the layers of ``oci:DIR:TAG`` as stored, that is compressed (OCI image-spec)."""
    return sum(layer["size"] for layer in _read_layers(image))


def _read_layers(image: str) -> list[dict[str, Any]]:
    """The descriptor of each layer in the manifest, with the path of its ``blob``."""
    layout, _, tag = image.removeprefix("oci:").rpartition(":")
    with open(f"{layout}/index.json") as file:
        manifests = json.load(file)["manifests"]
    name = "org.opencontainers.image.ref.name"
    (digest,) = (item["digest"] for item in manifests if item["annotations"].get(name) == tag)
    with open(_blob_path(layout, digest)) as file:
        layers = json.load(file)["layers"]
    return [{**layer, "blob": _blob_path(layout, layer["digest"])} for layer in layers]


def _blob_path(layout: str, digest: str) -> str:
    return f"{layout}/blobs/{digest.replace(':', '/')}"
