"""Sizes of distroless' images of Debian 12, built again from the same packages, for comparison.

The images contain the files of the packages, without manual pages, translations, lintian's files,
documentation (except the copyright) and maintainer scripts. The certificates are one bundle.
distroless' own files (users, nsswitch.conf, status.d) take a few kB and are not counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pytest
from requirements import need, skip_missing
from zlib_ng import zlib_ng

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_STATIC = ("base-files", "ca-certificates", "media-types", "netbase", "tzdata")
_BASE = (*_STATIC, "libc6", "libssl3")
_CC = (*_BASE, "gcc-12-base", "libgcc-s1", "libgomp1", "libstdc++6")
SETS: dict[str, tuple[str, ...]] = {
    "static": _STATIC,
    "base": _BASE,
    "cc": _CC,
    "python3": (
        *(*_CC, "libbz2-1.0", "libcom-err2", "libcrypt1", "libdb5.3", "libexpat1", "libffi8"),
        *("libgssapi-krb5-2", "libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0"),
        *("liblzma5", "libncursesw6", "libnsl2", "libpython3.11-minimal", "libpython3.11-stdlib"),
        *("libreadline8", "libsqlite3-0", "libtinfo6", "libtirpc3", "libuuid1"),
        *("python3.11-minimal", "zlib1g"),
    ),
    "nodejs": (
        *(*_CC, "libbrotli1", "libc-ares2", "libicu72", "libnghttp2-14", "libnode108", "libuv1"),
        *("nodejs", "zlib1g"),
    ),
    "java17": (
        *(*_CC, "fontconfig-config", "libbrotli1", "libexpat1", "libfontconfig1", "libfreetype6"),
        *("libglib2.0-0", "libgraphite2-3", "libharfbuzz0b", "libjpeg62-turbo", "liblcms2-2"),
        *("libpcre2-8-0", "libpng16-16", "libuuid1", "openjdk-17-jre-headless", "zlib1g"),
    ),
}
"""Image name to packages. nodejs is Debian's; the real image has nodejs.org's 94 MB binary."""
_LEFT_OUT = re.compile(
    r"usr/share/(?:bug|info|lintian|locale|man)/|usr/share/doc/(?!.*/copyright$)|lib/systemd/"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a tree: number of files, bytes of its tar, and bytes of that as gzip of level 6."""

    files: int
    unpacked: int
    compressed: int


def measure_distroless(shared: Path, name: str, packages: Iterable[str] = ()) -> Sizes:
    """Measure a distroless image with these additional packages.

    Each package is downloaded once for all workers. Skips the test if a download fails.

    :param name: of SETS.
    """
    need("apt-get", "dpkg-deb")
    if platform.freedesktop_os_release().get("VERSION_CODENAME") != "bookworm":
        pytest.skip("missing here: Debian 12's packages")
    names = sorted({*SETS[name], *packages})
    top = shared / "distroless"
    top.mkdir(exist_ok=True)
    known = top / f"{name}-{zlib.crc32(repr(names).encode()):08x}.json"
    with open(top / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            sizes = _sizes(_trees(top, names), top / "part.tar")
            known.write_text(json.dumps(asdict(sizes)))
    return Sizes(**json.loads(known.read_text()))


def _trees(top: Path, packages: Iterable[str]) -> list[Path]:
    """Download and unpack packages; return one tree for each."""
    trees = {package: top / package for package in packages}
    absent = [package for package, tree in trees.items() if not tree.exists()]
    part = top / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    if (
        _download(part, absent) is not None
    ):  # apt may know a version that is no longer on the mirror
        for package in absent:
            why = _download(part, [package]) and _download(part, [f"{package}/bookworm"])
            if why is not None:
                skip_missing(f"the package {package} ({why})")
    for package in absent:
        (archive,) = part.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, part / "tree"], check=True)
        _bundle(part / "tree")
        os.rename(part / "tree", trees[package])
    return [*trees.values()]


def _download(folder: Path, packages: list[str]) -> str | None:
    """Download packages; return the error, or None."""
    if not packages:
        return None
    argv = ["apt-get", "download", "-qq", *packages]
    done = subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode != 0 else None


def _bundle(tree: Path) -> None:
    """Write all certificates into one file, as update-ca-certificates(8) does."""
    folder = tree / "usr/share/ca-certificates"
    if folder.exists():
        certificates = sorted(folder.rglob("*.crt"))
        bundle = tree / "etc/ssl/certs/ca-certificates.crt"
        bundle.write_bytes(b"".join(each.read_bytes() for each in certificates))
        shutil.rmtree(folder)


def _sizes(trees: Iterable[Path], place: Path) -> Sizes:
    files = 0
    with tarfile.open(place, "w") as tar:
        for tree in trees:
            for path in sorted(tree.rglob("*")):
                name = str(path.relative_to(tree))
                if not _LEFT_OUT.match(name):
                    tar.add(path, name, recursive=False)
                    files += not path.is_dir()
    # The library with which slimtrace compresses, so that sizes compare; and it is quick.
    compressed = len(zlib_ng.compress(place.read_bytes(), level=6, wbits=31))  # 31: as gzip
    size = place.stat().st_size
    place.unlink()
    return Sizes(files, size, compressed)
