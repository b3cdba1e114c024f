"""Images from every kind of source, unpacked as by umoci, and the meaning of layers."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from engine import need_engine, podman
from layouts import (
    Layout,
    describe_expected_index,
    describe_index,
    describe_tree,
    entry,
    folder,
    hardlink,
    make_layout,
    paths,
    symlink,
    tar,
)
from requirements import need, need_root
from tree_images import make_varied_tree

from slimtrace.builder.images.read.full_image_source import FullImage, open_image
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("cache_folder")


def run(*argv: str, cwd: Path | None = None) -> None:
    subprocess.run(argv, check=True, capture_output=True, cwd=cwd)


def contents(image: FullImage, path: str) -> str:
    with open(os.path.join(image.root, path)) as file:
        return file.read()


@pytest.fixture
def layered(tmp_path: Path) -> str:
    """A layout that umoci made from three states of a tree, with all kinds of entries."""
    need("umoci", "setfacl", "setcap")
    need_root()
    place = f"{tmp_path}/made"
    run("umoci", "init", "--layout", place)
    run("umoci", "new", "--image", f"{place}:t")
    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--image", f"{place}:t", str(bundle))
    root = bundle / "rootfs"
    make_varied_tree(root)
    run("setfacl", "-m", "u:1000:r", str(root / "etc/ünï.conf"))
    run("setfacl", "-d", "-m", "u:1000:rx", str(root / "empty"))
    run("setcap", "cap_net_raw+ep", str(root / "usr/bin/su"))
    os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    (root / "full").mkdir()
    (root / "full/old").write_text("old")
    repack(place, bundle)
    run("rm", "-r", *(str(root / name) for name in ("full", "deep", "etc/long-link")))
    (root / "full").mkdir(mode=0o700)
    (root / "full/new").write_text("new")
    os.link(root / "usr/bin/tool", root / "usr-local/tool")
    (root / "bin").unlink()
    (root / "bin").mkdir()
    repack(place, bundle)
    (root / "empty").rmdir()
    (root / "empty").write_text("now a file")
    (root / "tmp/pipe").unlink()
    os.chown(root / "usr", 1, 2)
    repack(place, bundle)
    return f"{place}:t"


def repack(layout: str, bundle: Path) -> None:
    run("umoci", "repack", "--refresh-bundle", "--image", f"{layout}:t", str(bundle))


def test_as_umoci_unpacks_it(tmp_path: Path, layered: str) -> None:
    run("umoci", "unpack", "--image", layered, str(tmp_path / "theirs"))
    image = open_image(f"oci:{layered}")
    theirs = describe_tree(f"{tmp_path}/theirs/rootfs")
    assert describe_tree(image.root) == theirs
    assert image.index is not None
    assert describe_index(image.index) == describe_expected_index(f"{tmp_path}/theirs/rootfs")
    files = [line for line in theirs.values() if re.match(r"10\d{4} ", line)]
    assert image.index.totals().files == len(files)
    assert any(ACL_NAME in line for line in theirs.values())
    assert any("security.capability" in line for line in theirs.values())
    again = open_image(f"oci:{layered}")
    assert again == FullImage(image.source, image.digest, image.root, again.index, image.config)
    assert again.index is not None
    assert describe_index(again.index) == describe_index(image.index)


ACL_NAME = "system.posix_acl_access"


@pytest.mark.parametrize(
    ("made", "read"),
    [
        ("oci-archive:{}/a.tar:t", "oci-archive:{}/a.tar:t"),
        ("oci-archive:{}/a.tar:t", "oci-archive:{}/a.tar"),
        ("oci-archive:{}/a.tar:t", "{}/a.tar"),
        ("docker-archive:{}/a.tar:some/app:1", "docker-archive:{}/a.tar"),
        ("docker-archive:{}/a.tar:some/app:1", "docker-archive:{}/a.tar:some/app:1"),
        ("docker-archive:{}/a.tar:some/app:1", "{}/a.tar"),
        ("oci:{}/zstd:t", "oci:{}/zstd:t"),
    ],
)
def test_every_form_gives_the_same_tree(tmp_path: Path, layered: str, made: str, read: str) -> None:
    need("skopeo")
    packed = ["--dest-compress-format", "zstd"] if "zstd" in made else []
    run("skopeo", "copy", *packed, f"oci:{layered}", made.format(tmp_path))
    if packed:
        manifests = [path.read_bytes() for path in (tmp_path / "zstd/blobs/sha256").iterdir()]
        assert any(b"tar+zstd" in data for data in manifests)
    image, other = open_image(f"oci:{layered}"), open_image(read.format(tmp_path))
    assert describe_tree(image.root) == describe_tree(other.root)
    assert other.config["rootfs"] == image.config["rootfs"]


def test_a_packed_archive(tmp_path: Path, layered: str) -> None:
    need("skopeo", "zstd")
    run("skopeo", "copy", f"oci:{layered}", f"docker-archive:{tmp_path}/a.tar:app:1")
    run("zstd", "-q", f"{tmp_path}/a.tar")
    run("gzip", f"{tmp_path}/a.tar")
    plain = describe_tree(open_image(f"oci:{layered}").root)
    for name in ("a.tar.gz", "a.tar.zst"):
        image = open_image(f"docker-archive:{tmp_path}/{name}")
        assert describe_tree(image.root) == plain


def test_podmans_store_and_what_it_saves(tmp_path: Path) -> None:
    need_engine()
    need("skopeo")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/hello").write_text("hello")
    run("tar", "-C", str(tmp_path / "root"), "-cf", str(tmp_path / "root.tar"), ".")
    name = f"localhost/slimtrace-test-{os.getpid()}:1"
    assert podman("import", "-q", str(tmp_path / "root.tar"), name).returncode == 0
    try:
        stored = open_image(f"containers-storage:{name}")
        inspected = podman("inspect", "--format", "{{.Digest}}", name).stdout.strip()
        assert stored.digest == inspected
        assert open_image(f"containers-storage:{name}").root == stored.root
        saved = f"{tmp_path}/saved.tar"
        assert podman("save", "-q", "-o", saved, name).returncode == 0
    finally:
        podman("rmi", "-f", name)
    assert contents(stored, "hello") == "hello"
    assert contents(open_image(saved), "hello") == "hello"


def test_a_plain_tree_is_where_it_was(tmp_path: Path) -> None:
    assert open_image(f"rootfs:{tmp_path}") == FullImage(
        f"rootfs:{tmp_path}", None, os.path.realpath(tmp_path), None, {}
    )
    with pytest.raises(SlimtraceError, match="not a directory"):
        open_image(f"rootfs:{tmp_path}/none")


@pytest.mark.parametrize("options", [(), ("-z",), ("--zstd",)], ids=["plain", "gzip", "zstd"])
def test_a_root_tarball(tmp_path: Path, options: tuple[str, ...]) -> None:
    need("zstd")
    make_varied_tree(tmp_path / "root")
    path = f"{tmp_path}/root.tar"
    kept = ["--xattrs", "--xattrs-include=*", "--format=pax", "--sparse"]
    run("tar", "-C", f"{tmp_path}/root", *kept, *options, "-cf", path, ".")
    image = open_image(f"tar:{path}")
    assert describe_tree(image.root) == describe_tree(f"{tmp_path}/root")
    done = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
    assert image.digest == f"sha256:{done.stdout.split()[0]}"
    assert os.stat(f"{image.root}/usr/sparse").st_blocks < 100
    with open(path, "ab") as file:
        file.write(bytes(512))
    if not options:
        assert open_image(f"tar:{path}").digest != image.digest


F, D = entry, folder
MEANINGS: dict[str, tuple[list[bytes], list[str]]] = {
    "a whiteout": ([tar(D("d"), F("d/a"), F("d/b")), tar(F("d/.wh.a"))], ["d", "d/b"]),
    "a whiteout of a directory": (
        [tar(D("d"), D("d/e"), F("d/e/f"), F("x")), tar(F(".wh.d"))],
        ["x"],
    ),
    "a whiteout of nothing": ([tar(F("x")), tar(F("no/.wh.where"), F(".wh.y"))], ["x"]),
    "a whiteout after what its own layer has": (
        [tar(F("a", data=b"1")), tar(F("a", data=b"2"), F(".wh.a"))],
        ["a"],
    ),
    "a whiteout of a directory that its layer fills": (
        [tar(D("d"), F("d/old")), tar(D("d"), F("d/new"), F(".wh.d"))],
        ["d", "d/new"],
    ),
    "an opaque directory": (
        [tar(D("d"), F("d/old"), D("d/e"), F("d/e/f")), tar(D("d"), F("d/.wh..wh..opq"), F("d/x"))],
        ["d", "d/x"],
    ),
    "an opaque directory, said late": (
        [
            tar(D("d"), F("d/old"), D("d/e"), F("d/e/f")),
            tar(D("d"), F("d/x"), F("d/e/new"), F("d/.wh..wh..opq")),
        ],
        ["d", "d/e", "d/e/new", "d/x"],
    ),
    "aufs' own names": ([tar(F(".wh..wh.aufs"), D(".wh..wh.plnk"), F("x"))], ["x"]),
    "below a symlinked directory": (
        [tar(D("usr"), D("usr/lib"), symlink("lib", "usr/lib")), tar(F("lib/x"))],
        ["lib", "usr", "usr/lib", "usr/lib/x"],
    ),
    "below an absolute symlink and dots": (
        [
            tar(D("a"), D("a/b"), symlink("a/up", "../../../.."), symlink("c", "/a/up/a/./b")),
            tar(F("c/x")),
        ],
        ["a", "a/b", "a/b/x", "a/up", "c"],
    ),
    "below a symlink to nothing": (
        [tar(symlink("var", "gone/by")), tar(F("var/x"))],
        ["gone", "gone/by", "gone/by/x", "var"],
    ),
    "a directory in a symlink's place": (
        [tar(D("a"), F("a/x"), symlink("b", "a")), tar(D("b"), F("b/y"))],
        ["a", "a/x", "b", "b/y"],
    ),
    "a file in a directory's place": ([tar(D("d"), F("d/x")), tar(F("d"))], ["d"]),
    "a hard link across layers": ([tar(F("a", data=b"x")), tar(hardlink("b", "a"))], ["a", "b"]),
    "missing parents": ([tar(F("a/b/c"))], ["a", "a/b", "a/b/c"]),
    "names with dots": (
        [tar(F("./a/../b"), F("/c"), F("../../d"), D("e//f/"))],
        ["b", "c", "d", "e", "e/f"],
    ),
    "the root itself": ([tar(D("./", mode=0o711), F("x"))], ["x"]),
    "the same name again": ([tar(F("a", data=b"1"), D("b"), F("b/c"), F("b"), F("a"))], ["a", "b"]),
}


@pytest.mark.parametrize(("layers", "expected"), MEANINGS.values(), ids=MEANINGS)
def test_what_layers_mean(tmp_path: Path, layers: list[bytes], expected: list[str]) -> None:
    image = open_image(make_layout(tmp_path / "image", *layers))
    assert paths(image.index) == expected
    assert sorted(describe_tree(image.root)) == ["", *expected]
    assert image.index is not None
    if os.geteuid() == 0:
        assert describe_index(image.index) == describe_expected_index(image.root)


def test_the_last_of_two_wins(tmp_path: Path) -> None:
    twice = tar(entry("a", data=b"first"), entry("a", data=b"last"))
    assert contents(open_image(make_layout(tmp_path / "image", twice)), "a") == "last"


def test_hard_links_are_one_file(tmp_path: Path) -> None:
    layers = tar(entry("a", data=b"12345")), tar(hardlink("b", "./a"), entry("c", data=b"67"))
    image = open_image(make_layout(tmp_path / "image", *layers))
    assert image.index is not None
    first, second = image.index.get("/a"), image.index.get("b")
    assert first == second
    assert first is not None
    assert first.links == 2
    assert (image.index.totals().files, image.index.totals().size) == (3, 7)
    assert image.index.children("/") == ["a", "b", "c"]
    assert os.path.samefile(f"{image.root}/a", f"{image.root}/b")


def test_attributes_of_overlays_stay_out(tmp_path: Path) -> None:
    headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.x": "y"}
    image = open_image(make_layout(tmp_path / "image", tar(folder("a", pax_headers=headers))))
    assert image.index is not None
    node = image.index.get("a")
    assert node is not None
    assert node.xattrs == (("user.x", b"y"),)
    assert "trusted.overlay.redirect" not in os.listxattr(f"{image.root}/a")


def test_the_platform(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "image")
    inner = [
        {
            **layout.image([tar(entry(text.replace("/", "-")))], text.split("/")[0]),
            "platform": {"os": "linux", "architecture": text.split("/")[0]}
            | ({"variant": text.split("/")[1]} if "/" in text else {}),
        }
        for text in ("arm/v6", "arm/v7", "arm64/v8", "amd64", "s390x")
    ]
    listing = {"schemaVersion": 2, "manifests": inner}
    layout.list(layout.document(listing, "application/vnd.oci.image.index.v1+json"), "t")
    name = f"oci:{tmp_path}/image:t"
    own = {"x86_64": ["amd64"], "aarch64": ["arm64-v8"]}[os.uname().machine]
    assert paths(open_image(name).index) == own
    for platform, found in [
        ("linux/arm64", "arm64-v8"),
        ("linux/arm64/v8", "arm64-v8"),
        ("linux/arm/v6", "arm-v6"),
        ("linux/arm", "arm-v7"),
        ("linux/s390x", "s390x"),
    ]:
        assert paths(open_image(name, platform).index) == [found]
    with pytest.raises(SlimtraceError, match="an image for linux/arm/v5") as raised:
        open_image(name, "linux/arm/v5")
    assert "linux/arm/v6, linux/arm/v7" in str(raised.value.hint)


def test_an_image_of_another_platform_is_found_again_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace has the digest of the image that ran, not the value of --platform."""
    layout = Layout(tmp_path / "image")
    for machine in ("amd64", "arm64", "s390x"):
        platform = {"os": "linux", "architecture": machine}
        layout.list({**layout.image([tar(entry(machine))], machine), "platform": platform})
    name = f"oci:{tmp_path}/image"
    ran = open_image(name, "linux/s390x")
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/another")
    again = open_image(name, digest=ran.digest)
    assert (again.digest, paths(again.index)) == (ran.digest, ["s390x"])
