"""Images for tests of ``check``, with any mode, owner, attribute and configuration."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from requirements import need, skip_missing
from traces import environment, run_slimtrace

from slimtrace.builder.images.read.platform_choice import own_platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service=ep as VFS_CAP_REVISION_2 (capabilities(7))."""
MACHINE = own_platform().architecture


class File(NamedTuple):
    """A file, symlink or directory of an image; a name that ends in ``/`` is a directory."""

    data: bytes | str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    capability: bytes | None = None
    link: str | None = None


def make_layer(tree: Mapping[str, File | str]) -> bytes:
    """Make a tar of these paths and their parent directories."""
    made: dict[str, File] = {}
    for name, found in sorted(tree.items()):
        above = name.rstrip("/").split("/")[:-1]
        for count in range(1, len(above) + 1):
            made.setdefault("/".join(above[:count]) + "/", File(mode=0o755))
        made[name] = File(found) if isinstance(found, str) else found
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, file in sorted(made.items()):
            data = file.data.encode() if isinstance(file.data, str) else file.data
            tar.addfile(_member(name, file, len(data)), io.BytesIO(data))
    return buffer.getvalue()


def _member(name: str, file: File, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name.rstrip("/"))
    info.mode, info.uid, info.gid, info.mtime = file.mode, file.uid, file.gid, 1_700_000_000
    if name.endswith("/"):
        info.type = tarfile.DIRTYPE
    elif file.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, file.link
    else:
        info.size = size
    if file.capability is not None:
        text = file.capability.decode("utf-8", "surrogateescape")
        info.pax_headers = {"SCHILY.xattr.security.capability": text}
    return info


def make_layout(
    folder: Path, layers: Sequence[bytes], config: Mapping[str, Any], architecture: str = MACHINE
) -> str:
    """Make the image ``oci:FOLDER`` of these tars; ``config`` is the config's ``config`` object."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    tars = [blob(data, "layer.v1.tar") for data in layers]
    rootfs = {"type": "layers", "diff_ids": [tar["digest"] for tar in tars]}
    whole = {"os": "linux", "architecture": architecture, "config": config, "rootfs": rootfs}
    about = blob(json.dumps(whole).encode(), "config.v1+json")
    manifest = {"schemaVersion": 2, "config": about, "layers": tars}
    listed = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [listed]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{folder}"


def make_python_layer(shared: Path) -> bytes:
    """Build a layer with a Python that can serve HTTP, with slimtrace, once for all workers."""
    tar = shared / "check-python.tar"
    with open(shared / "check-python.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists():
            python = interpreter()
            argv = (python, "-IBc", "import http.server, signal, socket, os, sys, time")
            trace, part = f"{tar}.trace", f"{tar}.part"
            for command in (
                ("run", "--force", "-o", trace, "--", *argv),
                ("build", trace, "-o", f"tar:{part}", "--user", "65532:65532", "--grant-read"),
            ):
                done = run_slimtrace("-q", *command, cwd=str(shared))
                assert done.returncode == 0, done.stderr
            os.rename(part, tar)
    return tar.read_bytes()


def interpreter() -> str:
    """Return a Python that is not in a virtual environment."""
    return shutil.which("python3", path="/usr/bin") or os.path.realpath(sys.executable)


def read_sarif_schema(shared: Path) -> dict[str, Any]:
    """Read the JSON schema of SARIF 2.1.0 from an npm package of Microsoft."""
    need("npm")
    path = shared / "sarif-schema.json"
    with open(shared / "sarif-schema.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            argv = ("npm", "pack", "--silent", "--prefer-offline", _PACKAGE)
            done = subprocess.run(
                argv, check=False, capture_output=True, text=True, cwd=shared, timeout=300
            )
            if done.returncode != 0:
                skip_missing(f"npm's registry, for SARIF's schema ({done.stderr.strip()[-200:]})")
            with tarfile.open(shared / done.stdout.split()[-1]) as opened:
                file = opened.extractfile(_MEMBER)
                assert file is not None
                path.write_bytes(file.read())
    schema = json.loads(path.read_bytes())
    assert isinstance(schema, dict)
    return schema


_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
_MEMBER = "package/lib/schemas/sarif-2.1.0-rtm.5.json"


class Result(NamedTuple):
    """The output of ``check --json`` and its exit status."""

    status: int
    document: dict[str, Any]

    def broken(self) -> dict[str, str]:
        """Return ``{rule: "warn" or "fail"}`` of the rules that did not pass."""
        return {
            each["rule"]: each["status"]
            for each in self.document["rules"]
            if each["status"] in {"warn", "fail"}
        }

    def of(self, rule: str) -> dict[str, Any]:
        """Return the only finding of a rule."""
        (found,) = [each for each in self.document["rules"] if each["rule"] == rule]
        assert isinstance(found, dict)
        return found


def check(
    folder: Path, image: str, *arguments: str, prefix: Sequence[str] = (), cache: Path | None = None
) -> Result:
    """Run ``slimtrace check --json``; options and a command after ``--`` come last."""
    env = environment(XDG_CACHE_HOME=str(cache or folder / "cache"), TMPDIR=str(folder))
    done = run_slimtrace(
        "-q", "check", image, "--json", *arguments, cwd=str(folder), env=env, prefix=prefix
    )
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return Result(done.returncode, json.loads(done.stdout))


def need_amd64() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("missing here: an x86_64 machine")
