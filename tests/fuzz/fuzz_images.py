"""Fuzz images with any documents: each is read, or refused with a message; no other file is used.

An input is a byte for the form, a byte for the platform and the tag, then documents and layers with
a separator line between them. In each, ``"@N"`` is replaced by the SHA-256 digest of the Nth,
``"$N"`` by its SHA-512 and ``"#N"`` by its size, so that mutated documents have valid digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from typing import TYPE_CHECKING, Any

import json_mutation
from fuzz_layers import fix_checksums, layers, mutate_tar
from tree_check import check_tree
from watch import Watch

from slimtrace.builder.images.read import image_cache
from slimtrace.builder.images.read.blobs import FolderBlobs
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.read.manifest import read_skopeo_image
from slimtrace.builder.root.base_config import BaseConfig
from slimtrace.tracer.console import verbosity
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    import random

SEPARATOR = b"\n--\n"
LAYOUT, ARCHIVE, SAVED, SKOPEO, RAW, RAW_PACKED = range(6)
_PLATFORMS = (None, "linux/amd64", "linux/arm/v7", "linux/arm64")
_TAG_FLAG = 4
_TOKEN = re.compile(rb'"[@$#]([0-9])"')
_OCI = "application/vnd.oci.image"
_AMD64 = {"os": "linux", "architecture": "amd64"}
_ARM = {"os": "linux", "architecture": "arm", "variant": "v7"}
_LIMITS = {"SLIMTRACE_MAX_IMAGE_SIZE": str(8 << 20), "SLIMTRACE_MAX_IMAGE_ENTRIES": "300"}


class Target:
    """The code under test, with its own directory."""

    def __init__(self, box: str) -> None:
        self._box = box
        self._place = os.path.join(box, "image.tar")
        os.environ.update({"XDG_CACHE_HOME": os.path.join(box, "cache"), **_LIMITS})
        verbosity.quiet = True
        os.sync = lambda: None  # it would sync all file systems for every input
        kernels = ("/proc/self/uid_map", "/proc/sys/kernel/random/boot_id")
        self._watch = Watch(self._place, os.path.join(box, "cache"), *kernels)

    def one(self, data: bytes) -> bool:
        """Return whether the image was accepted.

        :raises AssertionError: a property that must always hold does not.
        """
        form, how = data[0] % 6, data[1:2][0] if data[1:] else 0
        docs = _fill_in_digests(data[2:].split(SEPARATOR))
        _write(self._place, form, docs, data[2:])
        platform = _PLATFORMS[how % len(_PLATFORMS)]
        try:
            with self._watch.on():
                return self._read(form, platform, "v1" if how & _TAG_FLAG else None, docs)
        except SlimtraceError as error:
            assert error.message.startswith("cannot "), error.message  # noqa: PT017 -- no test
            return False
        finally:
            self._clean()

    def _read(self, form: int, platform: str | None, tag: str | None, docs: list[bytes]) -> bool:
        if form == SKOPEO:
            found = read_skopeo_image(FolderBlobs(self._place, "image"), "image", platform)
            assert found.digest == _digest(docs[0])
            config = found.config
            digest = found.config_digest
        else:
            transport = {LAYOUT: "oci:", ARCHIVE: "oci-archive:", SAVED: "docker-archive:"}
            has_tag = tag and form in transport
            image = open_image(
                f"{transport.get(form, '')}{self._place}{f':{tag}' if has_tag else ''}", platform
            )
            assert image.index is not None
            check_tree(image.root, image.index)
            config, digest = image.config, image.digest or ""
        BaseConfig.of(config)
        known = [_digest(doc, kind) for doc in docs for kind in ("sha256", "sha512")]
        assert form in {RAW, RAW_PACKED} or digest in known, "no document has that digest"
        return True

    def _clean(self) -> None:
        for fd in image_cache._locks.values():
            os.close(fd)
        image_cache._locks.clear()
        remove_tree(os.path.join(self._box, "cache"))
        if os.path.isdir(self._place):
            remove_tree(self._place)
        else:
            os.unlink(self._place)

    def seeds(self) -> list[bytes]:
        """Return valid images of every form."""
        tars = layers(self._box)[:3:2]
        image = _image(tars)
        index = _index({"platform": {**_AMD64, "variant": "v1"}})
        tagged = _index({"annotations": {"org.opencontainers.image.ref.name": "v1"}})
        nested = [
            _index({"mediaType": f"{_OCI}.index.v1+json"}),
            _dump({"manifests": [_blob(2, f"{_OCI}.manifest.v1+json", platform=_AMD64),
                                   _blob(2, f"{_OCI}.manifest.v1+json", platform=_ARM)]}),
            *_image(tars, 3),
        ]  # fmt: skip
        saved = [
            _dump([{"Config": "1", "RepoTags": ["v1:latest"], "Layers": ["2", "3"]}]),
            _dump({**_AMD64, "rootfs": {"diff_ids": ["@2", "@3"]}}),
            *tars,
        ]
        found = [
            (LAYOUT, 1, [index, *image]),
            (ARCHIVE, 1, [index, *image]),
            (LAYOUT, 2, nested),
            (LAYOUT, 1 | _TAG_FLAG, [tagged, *image]),
            (SAVED, 1, saved),
            (SAVED, 1 | _TAG_FLAG, saved),
            (SKOPEO, 1, _image(tars, 1)),
        ]
        seeds = [bytes([form, how]) + SEPARATOR.join(docs) for form, how, docs in found]
        _write(self._place, ARCHIVE, _fill_in_digests([index, *image]), b"")
        with open(self._place, "rb") as file:
            whole = file.read()
        os.unlink(self._place)
        return [*seeds, bytes([RAW, 1]) + whole, bytes([RAW_PACKED, 1]) + whole]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Change a value of one document, or a header of an archive."""
        docs = data[2:].split(SEPARATOR)
        at = rng.randrange(len(docs))
        change = json_mutation.mutate if docs[at][:1] in b"[{" else mutate_tar
        docs[at] = change(docs[at], rng)
        return data[:2] + SEPARATOR.join(docs)


def _digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _blob(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"@{number}", "size": f"#{number}", **fields}


def _index(fields: dict[str, Any]) -> bytes:
    return _dump({"manifests": [{**_blob(1, f"{_OCI}.manifest.v1+json"), **fields}]})


def _image(tars: list[bytes], first: int = 2) -> list[bytes]:
    """Make a manifest, its config (document number ``first``), and two layers."""
    config, one, two = first, first + 1, first + 2
    manifest = {
        "schemaVersion": 2,
        "config": _blob(config, f"{_OCI}.config.v1+json"),
        "layers": [
            _blob(one, f"{_OCI}.layer.v1.tar"),
            {**_blob(two, f"{_OCI}.layer.v1.tar"), "digest": f"${two}"},
        ],
    }
    run_config = {"Env": ["PATH=/bin"], "Labels": {"a": "b"}, "Volumes": {"/data": {}}}
    platform = {**_ARM} if first == 3 else {**_AMD64}
    rootfs = {"type": "layers", "diff_ids": [f"@{one}", f"@{two}"]}
    return [_dump(manifest), _dump({**platform, "config": run_config, "rootfs": rootfs}), *tars]


def _fill_in_digests(docs: list[bytes]) -> list[bytes]:
    """Replace the placeholders by digests and sizes of later documents."""
    resolved = docs[:]

    def resolve(match: re.Match[bytes]) -> bytes:
        kind, number = match[0][1:2], int(match[1])
        other = resolved[number] if number < len(resolved) else b""
        if kind == b"#":
            return b"%d" % len(other)
        return b'"%s"' % _digest(other, "sha256" if kind == b"@" else "sha512").encode()

    for at in reversed(range(len(resolved))):
        if resolved[at][:1] in {b"{", b"["}:
            resolved[at] = _TOKEN.sub(resolve, resolved[at])
    return resolved


def _write(place: str, form: int, docs: list[bytes], rest: bytes) -> None:
    names = {"manifest.json" if form in {SAVED, SKOPEO} else "index.json": docs[0]}
    for number, doc in enumerate(docs[1:10], 1):
        if form == SAVED:
            names[str(number)] = doc
            continue
        for algorithm in ("sha256", "sha512"):
            value = _digest(doc, algorithm).partition(":")[2]
            if form == SKOPEO:
                names[value if algorithm == "sha256" else f"sha512-{value}"] = doc
            else:
                names[f"blobs/{algorithm}/{value}"] = doc
    if form in {LAYOUT, SKOPEO}:
        for name, doc in names.items():
            path = os.path.join(place, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(doc)
        return
    archive = fix_checksums(rest) if form in {RAW, RAW_PACKED} else _archive(names)
    with open(place, "wb") as file:
        file.write(gzip.compress(archive, 1, mtime=0) if form == RAW_PACKED else archive)


def _archive(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, doc in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(doc)
            tar.addfile(member, io.BytesIO(doc))
    return buffer.getvalue()
