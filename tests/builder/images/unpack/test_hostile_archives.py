"""Malicious images: nothing is written outside the tree, and each gives one clear error."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from layouts import (
    OCI,
    Layout,
    describe_tree,
    entry,
    folder,
    hardlink,
    make_layout,
    paths,
    sha256,
    symlink,
    tar,
)
from requirements import need_root
from tree_images import small_disk
from zstandard import ZstdCompressor

from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.unpack.limits import ENTRIES_VARIABLE, SIZE_VARIABLE
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache_folder")


def check_rejected(name: str, cause: str) -> SlimtraceError:
    """The image is rejected, and leaves nothing in the cache."""
    with pytest.raises(SlimtraceError, match=cause) as raised:
        open_image(name)
    base = os.path.join(os.environ["XDG_CACHE_HOME"], "slimtrace")
    left = [name for _, folders, files in os.walk(base) for name in [*folders, *files]]
    assert {*left} <= {"images", "sha256", "files", "scratch"}
    return raised.value


REFUSED: dict[str, tuple[list[bytes], str]] = {
    "a symlink loop": ([symlink("a", "b"), symlink("b", "a"), entry("a/x")], "symlink too many"),
    "a file for a directory": ([entry("a"), entry("a/x")], "'a' on the way is not a directory"),
    "a hard link to nothing": ([hardlink("a", "b")], "hard link to 'b', which does not exist"),
    "a hard link outside": ([hardlink("a", "../../etc/passwd")], "which does not exist"),
    "an absolute hard link": ([hardlink("a", "/etc/passwd")], "which does not exist"),
    "a hard link through a symlink": (
        [symlink("out", "/etc"), hardlink("a", "out/passwd")],
        "which does not exist",
    ),
    "a hard link to a directory": ([folder("d"), hardlink("a", "d")], "which is a directory"),
    "a hard link to what it replaces": (
        [folder("d"), entry("d/f"), hardlink("d", "d/f")],
        "which it replaces",
    ),
    "a whiteout of dots": ([folder("d"), entry("d/.wh...")], "whiteout names no file"),
    "a whiteout of no name": ([folder("d"), entry("d/.wh.")], "whiteout names no file"),
    "a root that is a file": ([entry(".")], "it is the root directory"),
    "a name that is too long": ([entry("n" * 300)], "File name too long"),
    "a path that is too long": ([entry("/".join(["d" * 200] * 30))], "longer than 4095 bytes"),
    "a path that grows too long": (
        [symlink("a", "/".join(["d" * 200] * 15)), entry("/".join(["a", *["e" * 200] * 10]))],
        "longer than 4095 bytes",
    ),
    "an unknown type": ([entry("a", b"D")], "not a type in images"),
}


@pytest.mark.parametrize(("entries", "cause"), REFUSED.values(), ids=REFUSED)
def test_a_layer_that_is_refused(tmp_path: Path, entries: list[bytes], cause: str) -> None:
    check_rejected(make_layout(tmp_path / "image", tar(*entries)), cause)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../../../../escaped")],
        [entry("/escaped")],
        [symlink("up", "../../../../.."), entry("up/escaped")],
        [symlink("root", "/"), entry("root/escaped")],
        [symlink("a", "/"), symlink("a/b", "../.."), entry("a/b/escaped")],
        [folder("d"), entry("d/../../../escaped")],
    ],
)
def test_nothing_leaves_the_tree(tmp_path: Path, entries: list[bytes]) -> None:
    before = set(os.listdir("/"))
    image = open_image(make_layout(tmp_path / "image", tar(*entries)))
    found = {
        os.path.join(above, name)
        for above, _, files in os.walk(tmp_path)
        for name in files
        if name == "escaped"
    }
    assert found == {f"{image.root}/escaped"}
    assert "escaped" in paths(image.index)
    assert set(os.listdir("/")) == before


def test_a_symlink_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    layers = tar(symlink("a", str(victim)), entry("a", data=b"hostile"))
    image = open_image(make_layout(tmp_path / "image", layers))
    assert victim.read_text() == "as it was"
    assert os.path.isfile(f"{image.root}/a")
    assert not os.path.islink(f"{image.root}/a")


def test_devices_are_no_gates(tmp_path: Path, unprivileged: tuple[str, ...]) -> None:
    """A user cannot make them, but the index has them."""
    device = entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    image = open_image(make_layout(tmp_path / "image", tar(device, hardlink("other", "null"))))
    assert image.index is not None
    node = image.index.get("null")
    assert node is not None
    assert (node.target, node.links) == ("1:3", 2)


def test_a_deep_tree(tmp_path: Path) -> None:
    """A path of the maximal depth is opened and removed; deeper ones are rejected."""
    deepest = "/".join(["d"] * 2047)
    image = open_image(
        make_layout(tmp_path / "image", tar(entry(f"{deepest}/f"[2:])), tar(entry("x")))
    )
    assert image.index is not None
    assert len(image.index) == 2049
    refused_ = make_layout(tmp_path / "deeper", tar(entry("/".join(["d"] * 100_000))))
    with pytest.raises(SlimtraceError, match="longer than 4095 bytes"):
        open_image(refused_)
    module = "slimtrace.builder.images.read.cache_inventory"
    code = f"from {module} import prune; print(len(prune().removed))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "0\n", "in use"
    again = make_layout(tmp_path / "again", tar(entry(f"{deepest}/f"[2:])), tar(entry(".wh.d")))
    assert paths(open_image(again).index) == []
    remove_tree(os.path.dirname(image.root))  # pytest cannot remove such a deep tree


def test_more_entries_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENTRIES_VARIABLE, "1000")
    name = make_layout(tmp_path / "image", tar(*(entry(str(number)) for number in range(1001))))
    error = check_rejected(name, "more than 1000 files")
    assert ENTRIES_VARIABLE in str(error.hint)
    made = make_layout(
        tmp_path / "made",
        tar(*(entry("/".join(f"{n}" * 90)) for n in range(9)), entry("/".join("x" * 300))),
    )
    check_rejected(made, "more than 1000 files")
    monkeypatch.setenv(ENTRIES_VARIABLE, "1001")
    assert len(paths(open_image(name).index)) == 1001
    monkeypatch.setenv(ENTRIES_VARIABLE, "many")
    with pytest.raises(UsageError, match="not a whole number"):
        open_image(made)


def test_a_manifest_passed_off_as_a_configuration(tmp_path: Path) -> None:
    """Its digest is that of another image, and the cache would use the archive for that image."""
    layout = Layout(tmp_path / "good")
    image = layout.image([tar(entry("a"))])
    layout.list(image)
    manifest = (tmp_path / "good/blobs" / image["digest"].replace(":", "/")).read_bytes()
    listing = json.dumps([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": []}]).encode()
    archive = tmp_path / "bad.tar"
    archive.write_bytes(tar(entry("manifest.json", data=listing), entry("c.json", data=manifest)))
    check_rejected(f"docker-archive:{archive}", "it has no rootfs")
    assert paths(open_image(f"oci:{tmp_path}/good").index) == ["a"]


def bomb(packed: bytes, tmp_path: Path, diff_id: str) -> str:
    layout = Layout(tmp_path / "bomb")
    config = {"rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    manifest = {
        "schemaVersion": 2,
        "config": layout.document(config, f"{OCI}.config.v1+json"),
        "layers": [layout.blob(packed, f"{OCI}.layer.v1.tar+gzip")],
    }
    layout.list(layout.document(manifest, f"{OCI}.manifest.v1+json"))
    return f"oci:{tmp_path}/bomb"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "gzip of headers"])
def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """It stops at the limit, and uses little memory."""
    monkeypatch.setenv(SIZE_VARIABLE, str(100 << 20))
    head = entry("zeros", size=1 << 40) if kind != "gzip of headers" else b""
    plain = io.BytesIO()
    if kind == "zstd":
        with ZstdCompressor().stream_writer(plain, closefd=False) as file:
            file.write(head)
            for _ in range(300):
                file.write(bytes(1 << 20))
    else:
        with gzip.GzipFile(fileobj=plain, mode="wb", compresslevel=1) as file:
            file.write(head)
            for _ in range(300):
                file.write(bytes(1 << 20) if head else entry("x" * 90) * 2048)
    name = bomb(plain.getvalue(), tmp_path, f"sha256:{'0' * 64}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = check_rejected(name, f"more than {100 << 20} bytes")
    assert SIZE_VARIABLE in str(error.hint)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_sparse_bomb(tmp_path: Path) -> None:
    records = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1"}
    layer = tar(entry("a", data=b"x", pax_headers=records))
    check_rejected(make_layout(tmp_path / "image", layer), "has more than")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_root()
    name = make_layout(tmp_path / "image", tar(entry("a", data=os.urandom(2 << 20))))
    with small_disk(tmp_path / "disk") as disk:
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
        error = check_rejected(name, "No space left on device")
        assert "XDG_CACHE_HOME" in str(error.hint)


def change(layout: Layout, descriptor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**descriptor, **fields}


LAYER = tar(entry("a", data=b"hello"))
LIES = {
    "a digest of the layer": ("layers", "digest", sha256(b"other"), "has no blobs"),
    "a size of the layer that is too small": ("layers", "size", 10, "larger than the 10 bytes"),
    "a size of the layer that is too large": ("layers", "size", 10**6, "should have 1000000"),
    "a type of the layer": (
        "layers",
        "mediaType",
        f"{OCI}.layer.v1.rar",
        "not a layer type of images",
    ),
    "an encrypted layer": ("layers", "mediaType", f"{OCI}.layer.v1.tar+encrypted", "encrypted"),
    "a size of the config": ("config", "size", 1, "its digest is"),
    "a digest that is a path": ("layers", "digest", "sha256:../../../x", "not a sha256 or sha512"),
    "a digest of another kind": ("layers", "digest", "md5:00", "not a sha256 or sha512"),
    "a negative size": ("layers", "size", -1, "has no size"),
    "an artifact": ("config", "mediaType", "application/vnd.oci.empty.v1+json", "and not an image"),
}


@pytest.mark.parametrize(("part", "field", "value", "cause"), LIES.values(), ids=LIES)
def test_lies_in_a_manifest(
    tmp_path: Path, part: str, field: str, value: object, cause: str
) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image([LAYER])
    with open(tmp_path / "image/blobs" / image["digest"].replace(":", "/")) as file:
        manifest = json.load(file)
    if part == "layers":
        manifest["layers"][0][field] = value
    else:
        manifest[part][field] = value
    layout.list(layout.document(manifest, f"{OCI}.manifest.v1+json"))
    check_rejected(f"oci:{tmp_path}/image", cause)


@pytest.mark.parametrize("what", ["a layer", "the manifest", "the config"])
def test_a_blob_that_was_changed(tmp_path: Path, what: str) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image([LAYER])
    layout.list(image)
    blobs = tmp_path / "image/blobs"
    manifest = json.loads((blobs / image["digest"].replace(":", "/")).read_bytes())
    digest = {
        "a layer": manifest["layers"][0]["digest"],
        "the manifest": image["digest"],
        "the config": manifest["config"]["digest"],
    }[what]
    path = blobs / digest.replace(":", "/")
    data = bytearray(path.read_bytes())
    data[8] ^= 1  # of gzip: the extra flags, which no checksum covers
    path.write_bytes(data)
    check_rejected(f"oci:{tmp_path}/image", "digest is")


def test_a_diff_id_that_is_wrong(tmp_path: Path) -> None:
    check_rejected(
        bomb(gzip.compress(LAYER), tmp_path, f"sha256:{'0' * 64}"), "its diff_id is sha256:"
    )


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(LAYER, mtime=0), ZstdCompressor().compress(LAYER)],
    ids=["gzip", "zstd"],
)
@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_layer_that_is_cut_off(tmp_path: Path, packed: bytes, cut: int) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(packed[:-cut])
    check_rejected(f"tar:{path}", "truncated")


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        ({"schemaVersion": 2, "manifests": [], "layers": []}, "both an index and a manifest"),
        ({"schemaVersion": 2}, "a descriptor in it is not an object"),
        ({"mediaType": []}, "its mediaType is not a string"),
        ({"mediaType": "text/plain"}, "and should be"),
        ({"schemaVersion": 1, "config": {}, "layers": []}, "schemaVersion"),
        ([], "not an object"),
        ("x" * (5 << 20), "larger than"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, document: object, cause: str) -> None:
    layout = Layout(tmp_path / "image")
    layout.list(layout.document(document, f"{OCI}.manifest.v1+json"))
    check_rejected(f"oci:{tmp_path}/image", cause)


def test_indexes_in_indexes(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "image")
    kind = f"{OCI}.index.v1+json"
    inner = layout.image([LAYER])
    for _ in range(9):
        inner = layout.document({"schemaVersion": 2, "manifests": [inner]}, kind)
    layout.list(inner)
    check_rejected(f"oci:{tmp_path}/image", "nested more than")


def test_a_fifo_for_a_blob(tmp_path: Path) -> None:
    name = make_layout(tmp_path / "image", LAYER)
    for path in list((tmp_path / "image/blobs/sha256").iterdir()):
        path.unlink()
        os.mkfifo(path)
    check_rejected(name, "not a regular file")


def test_links_of_an_archive_stay_in_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("[]")
    for target in (str(secret), "../" * 20 + str(secret)[1:], "manifest.json"):
        (tmp_path / "a.tar").write_bytes(tar(symlink("manifest.json", target)))
        check_rejected(f"docker-archive:{tmp_path}/a.tar", "it has no manifest.json")


def test_two_images_without_a_word(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "image")
    layout.list(layout.image([LAYER]), "one")
    layout.list(layout.image([tar(entry("b"))]), "two")
    error = check_rejected(f"oci:{tmp_path}/image", "cannot choose an image")
    assert error.hint == "name one of: one, two"
    assert paths(open_image(f"oci:{tmp_path}/image:two").index) == ["b"]
    with pytest.raises(SlimtraceError, match="cannot find an image") as raised:
        open_image(f"oci:{tmp_path}/image:three")
    assert raised.value.hint == "name one of: one, two"
    assert describe_tree(open_image(f"oci:{tmp_path}/image:one").root).keys() == {"", "a"}


@pytest.mark.parametrize("text", ["", "Python:3", "oci:", "tar:", "docker://", "oci:a:b c"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        open_image(text)


@pytest.mark.parametrize(
    "text", ["oci:/none", "oci-archive:/none", "docker-archive:/none", "/none.tar", "tar:/none"]
)
def test_what_is_not_there(text: str) -> None:
    with pytest.raises(SlimtraceError, match="cannot read"):
        open_image(text)
