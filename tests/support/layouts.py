"""OCI layouts written byte by byte, and descriptions of trees to compare."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

from slimtrace.builder.root.layer_index import LayerIndex, LayerNode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OCI = "application/vnd.oci.image"
EPOCH = 1_600_000_000


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layout:
    """An OCI layout; ``blob`` and ``index`` write any content, valid or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.descriptors: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        """Store a blob; return its descriptor."""
        digest = sha256(data)
        (self.folder / "blobs" / digest.replace(":", "/")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **fields}

    def image(
        self, layers: Sequence[bytes], architecture: str = "amd64", **fields: Any
    ) -> dict[str, Any]:
        """Store an image of these tars, compressed with gzip; return its descriptor.

        :param fields: fields of the manifest that replace the correct ones.
        """
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        }
        packed = [gzip.compress(layer, 1, mtime=0) for layer in layers]
        manifest = {
            "schemaVersion": 2,
            "config": self.document(config, f"{OCI}.config.v1+json"),
            "layers": [self.blob(data, f"{OCI}.layer.v1.tar+gzip") for data in packed],
            **fields,
        }
        return self.document(manifest, f"{OCI}.manifest.v1+json")

    def document(self, document: object, media_type: str, **fields: Any) -> dict[str, Any]:
        return self.blob(json.dumps(document).encode(), media_type, **fields)

    def list(self, descriptor: dict[str, Any], tag: str | None = None) -> None:
        """Add a descriptor to the index, and write the index again."""
        named = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
        self.descriptors.append({**descriptor, **named})
        self.index({"schemaVersion": 2, "manifests": self.descriptors})

    def index(self, document: object) -> None:
        (self.folder / "index.json").write_text(json.dumps(document))


def make_layout(folder: Path, *layers: bytes) -> str:
    """Make a layout with one image of these tars; return its reference."""
    layout = Layout(folder)
    layout.list(layout.image(layers))
    return f"oci:{folder}"


def entry(name: str, type_: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> bytes:
    """Make a tar header and its content, as Python's tarfile writes them."""
    info = tarfile.TarInfo(name)
    info.type = type_
    info.size = len(data)
    info.mtime = EPOCH
    for key, value in fields.items():
        setattr(info, key, value)
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % 512)


def tar(*entries: bytes) -> bytes:
    return b"".join(entries) + bytes(1024)


def folder(name: str, **fields: Any) -> bytes:
    return entry(name, tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name: str, target: str) -> bytes:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> bytes:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def describe_tree(root: str) -> dict[str, str]:
    """Describe a tree by path: its lstat(2) values, xattrs and contents."""
    first: dict[int, str] = {}
    described = {}
    for path in ["", *_below(root)]:
        name = os.path.join(root, path)
        status = os.lstat(name)
        parts = [
            f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {status.st_mtime_ns}",
            *(
                f"{each}={os.getxattr(name, each, follow_symlinks=False).hex()}"
                for each in sorted(os.listxattr(name, follow_symlinks=False))
            ),
        ]
        if stat.S_ISREG(status.st_mode):
            with open(name, "rb") as file:
                parts.append(hashlib.sha256(file.read()).hexdigest())
        if stat.S_ISLNK(status.st_mode):
            parts.append(os.readlink(name))
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            parts.append(str(status.st_rdev))
        if not stat.S_ISDIR(status.st_mode):
            parts.append(f"is {first.setdefault(status.st_ino, path)}")
        described[path] = " ".join(parts)
    return described


def describe_expected_index(root: str) -> dict[str, tuple[object, ...]]:
    """Describe the index that a tree should have, without inode numbers."""
    described: dict[str, tuple[object, ...]] = {}
    for path in ["", *_below(root)]:
        name = os.path.join(root, path)
        status = os.lstat(name)
        is_file = stat.S_ISREG(status.st_mode)
        target = os.readlink(name) if stat.S_ISLNK(status.st_mode) else ""
        if status.st_rdev:
            target = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        pairs = [
            (each, os.getxattr(name, each, follow_symlinks=False))
            for each in sorted(os.listxattr(name, follow_symlinks=False))
        ]
        described[path] = (
            *(status.st_mode, status.st_uid, status.st_gid, status.st_size if is_file else 0),
            *(status.st_mtime_ns, target, tuple(pairs)),
            1 if stat.S_ISDIR(status.st_mode) else status.st_nlink,
        )
    return described


def describe_index(index: LayerIndex) -> dict[str, tuple[object, ...]]:
    """Describe an index in the form of :func:`describe_expected_index`."""
    found: dict[str, tuple[object, ...]] = {}
    for path in index.paths():
        node = index.get(path)
        assert isinstance(node, LayerNode)
        found[path] = (*node[:7], node.links)
    return found


def paths(index: LayerIndex | None) -> list[str]:
    assert index is not None
    return sorted(path for path in index.paths() if path)


def read_tar(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def _below(root: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(above, name), root)
        for above, folders, files in os.walk(root)
        for name in [*folders, *files]
    )
