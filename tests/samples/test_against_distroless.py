"""The samples' slim images at two levels, compared with distroless images.

Distroless has the interpreter or the libraries, but no app; the slim image has both.
"""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest
from distroless import SETS, measure_distroless
from slim_samples import slim_sample

if TYPE_CHECKING:
    from pathlib import Path

MB = 1_000_000
PARTS_OF_NODE = ("libnode", "libicu", "libcrypto", "libssl", "libuv", "libnghttp2", "libcares")
"""With brotli and zlib: parts of the binary of nodejs.org that Debian's node loads."""


class Slim(NamedTuple):
    """A slim image: bytes unpacked and compressed, and the sizes of its files by path."""

    unpacked: int
    compressed: int
    files: dict[str, int]

    @property
    def packages(self) -> set[str]:
        """The Debian packages of which it has files."""
        parts = [os.path.split(path) for path in self.files]
        names = (name for folder, name in parts if folder == "/var/lib/dpkg/status.d")
        return {name for name in names if not name.endswith(".md5sums")}

    def libraries(self, *names: str) -> int:
        """Bytes of the shared libraries whose names begin with one of these."""
        return sum(
            size
            for path, size in self.files.items()
            if ".so" in path and path.rpartition("/")[2].startswith(names)
        )


@pytest.fixture
def slim(request: pytest.FixtureRequest, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Slim:
    """The image of a sample at a level."""
    name, level = request.param
    with slim_sample(name, shared, monkeypatch) as (_, built):
        image = built.build_documents[level]["image"]
    layer = built.folder / level / "blobs" / image["layers"][0]["digest"].replace(":", "/")
    with tarfile.open(layer) as tar:
        files = {f"/{entry.name}": entry.size for entry in tar if entry.isfile()}
    return Slim(image["uncompressed"], image["size"], files)


# sample, distroless image, whether packages of its files are added, MB at most at two levels
SMALLER: list[tuple[str, str, bool, dict[str, float]]] = [
    ("gunicorn-workers", "python3", False, {"closure": 30, "app": 39}),
    ("flask-lazy", "python3", False, {"closure": 34, "app": 40}),
    ("templates", "python3", False, {"closure": 27.5, "app": 33}),
    ("home-tmp-passwd", "python3", False, {"closure": 16, "app": 22}),
    ("nginx-errors", "base", True, {"closure": 12, "app": 12}),
    ("redis-persistence", "base", True, {"closure": 18.5, "app": 19.5}),
    ("node-conditional", "nodejs", True, {"closure": 99, "app": 101}),
    ("jvm-late", "java17", False, {"closure": 190, "app": 190}),
]
IMAGES = [
    ((sample, level), name, is_with_packages, size)
    for sample, name, is_with_packages, most in SMALLER
    for level, size in most.items()
]


@pytest.mark.parametrize(("slim", "name", "is_with_packages", "most"), IMAGES, indirect=["slim"])
def test_smaller_than_distroless(
    slim: Slim, shared: Path, name: str, is_with_packages: bool, most: float
) -> None:
    other = measure_distroless(shared, name, slim.packages if is_with_packages else ())
    assert slim.unpacked < other.unpacked
    assert slim.compressed < other.compressed
    assert len(slim.files) < other.files
    assert slim.unpacked <= most * MB


@pytest.mark.parametrize("slim", [("node-conditional", "closure")], indirect=True)
def test_node_is_little_more_than_its_binary(slim: Slim) -> None:
    binary = slim.files["/usr/bin/node"] + slim.libraries(*PARTS_OF_NODE, "libbrotli", "libz.")
    assert slim.unpacked - binary <= 8 * MB


@pytest.mark.parametrize("slim", [("redis-persistence", "closure")], indirect=True)
def test_redis_is_little_more_than_what_it_needs_to_be_loaded(slim: Slim) -> None:
    """Debian links it to libsystemd, OpenSSL and their libraries: it cannot start without them."""
    binary = slim.files["/usr/bin/redis-check-rdb"]
    assert binary + slim.libraries("lib", "ld-") > 17 * MB
    assert slim.unpacked - binary - slim.libraries("lib", "ld-") < MB / 2


# image, measured MB of the distroless image, unpacked
KNOWN = [("static", 3.0), ("base", 22.0), ("cc", 24.8), ("python3", 54.8)]


@pytest.mark.parametrize(("name", "size"), KNOWN)
def test_the_sets_are_those_of_distroless(shared: Path, name: str, size: float) -> None:
    """With a tolerance for newer packages and another order of files."""
    assert size * MB - MB < measure_distroless(shared, name).unpacked < size * MB + 2 * MB
    assert set(SETS["static"]) < set(SETS[name]) or name == "static"


def test_a_set_with_packages_has_them_once(shared: Path) -> None:
    plain = measure_distroless(shared, "base")
    assert measure_distroless(shared, "base", ["libc6"]) == plain
    assert measure_distroless(shared, "base", ["zlib1g"]).files > plain.files
