"""The main use: an app is traced, its image built, and the image run in a real engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from engine import need_engine, podman, podman_run
from repository import ROOT as HERE
from requirements import need
from traces import run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """
import json, pathlib, sqlite3, ssl, zoneinfo
here = pathlib.Path(__file__).parent
table = sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()
try:
    pathlib.Path("/anywhere").write_text("x")
    wrote = True
except OSError:
    wrote = False
print(json.dumps({"six": table[0], "data": (here / "data.txt").read_text(), "wrote": wrote}))
"""


@pytest.fixture(scope="module")
def slim() -> Iterator[dict[str, Any]]:
    """Trace a Python app, and build it for another user than the one who ran it.

    It is in its own folder: other tests change the modes of theirs, which would change the tree.
    """
    with tempfile.TemporaryDirectory() as name:
        yield build(Path(name))


def build(folder: Path) -> dict[str, Any]:
    folder.chmod(0o700)  # the image's user cannot reach it without --grant-read
    (folder / "app.py").write_text(APP)
    (folder / "data.txt").write_text("hello")
    (folder / "unused.txt").write_text("not touched")
    trace, archive = str(folder / "app.trace"), str(folder / "app.tar")
    command = [os.path.realpath(sys.executable), "app.py"]
    done = run_slimtrace("-q", "run", "-o", trace, "--", *command, cwd=str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    options = ("--user", "65532:65532", "--grant-read", "-t", "slimtrace-test:1")
    built = run_slimtrace("build", trace, "-o", archive, "--json", *options, cwd=str(folder))
    assert built.returncode == 0, built.stderr
    return {"folder": str(folder), "archive": archive, "trace": trace, **json.loads(built.stdout)}


def member(archive: str, name: str) -> Any:
    """Read a JSON document from a tar."""
    with tarfile.open(archive) as opened:
        file = opened.extractfile(name)
        assert file is not None
        return json.load(file)


def entries(archive: str) -> Iterator[tuple[object, ...]]:
    """Return all fields of each entry in the only layer of an archive, with the data's digest."""
    (manifest,) = member(archive, "manifest.json")
    with tarfile.open(archive) as opened:
        blob = opened.extractfile(manifest["Layers"][0])
        with tarfile.open(fileobj=blob) as layer:
            for entry in layer:
                content = layer.extractfile(entry) if entry.isfile() else None
                digest = hashlib.sha256(content.read()).hexdigest() if content else None
                owner = entry.uid, entry.gid, oct(entry.mode)
                yield entry.name, entry.type, owner, entry.mtime, entry.linkname, digest


def test_the_image_runs_hardened(slim: dict[str, Any]) -> None:
    need_engine()
    loaded = podman("load", "-q", "-i", slim["archive"])
    assert loaded.returncode == 0, loaded.stderr
    name = loaded.stdout.rpartition("Loaded image: ")[2].strip()
    hardened = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    try:
        done = podman_run(*hardened, name)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"six": 42, "data": "hello", "wrote": False}
        shell = podman_run(*hardened, "--entrypoint", "/bin/sh", name, "-c", "true")
        assert shell.returncode == 127
    finally:
        podman("rmi", "-f", name)


def test_the_image_has_numeric_ids_and_is_small(slim: dict[str, Any]) -> None:
    (manifest,) = member(slim["archive"], "manifest.json")
    config = member(slim["archive"], manifest["Config"])
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["WorkingDir"] == slim["folder"]
    assert config["config"]["Cmd"][1:] == ["app.py"]
    assert slim["kept"]["bytes"] < 60_000_000
    assert slim["kept"]["files"] + slim["dropped"]["files"] > 10 * slim["kept"]["files"]
    assert slim["reasons"]["touched"] > 20


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_reads_the_hybrid_archive(slim: dict[str, Any], transport: str) -> None:
    need("skopeo")
    argv = ["skopeo", "inspect", "--raw", f"{transport}:{slim['archive']}"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers"][0]


def test_umoci_unpacks_only_touched_files(slim: dict[str, Any], tmp_path: Path) -> None:
    need("umoci")
    layout = f"oci:{tmp_path}/layout:app"
    options = ("--user", "65532:65532", "--grant-read")
    built = run_slimtrace("build", slim["trace"], "-o", layout, *options, cwd=slim["folder"])
    assert built.returncode == 0, built.stderr
    rootless = ["--rootless"] if os.geteuid() else []
    subprocess.run(
        ["umoci", "unpack", *rootless, "--image", f"{tmp_path}/layout:app", tmp_path / "bundle"],
        check=True,
        capture_output=True,
    )
    root = f"{tmp_path}/bundle/rootfs"
    assert set(os.listdir(root + slim["folder"])) == {"app.py", "data.txt"}
    assert not [name for name in ("bin/sh", "usr/bin/dpkg") if os.path.lexists(f"{root}/{name}")]


def test_a_build_is_the_same_in_another_environment(slim: dict[str, Any], tmp_path: Path) -> None:
    surroundings = {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "7"}
    arguments = ["build", slim["trace"], "-o", str(tmp_path / "again.tar"), "--json"]
    options = ["--user", "65532:65532", "--grant-read"]
    done = subprocess.run(
        [
            "sh",
            "-c",
            'umask 077; exec "$0" -m slimtrace "$@"',
            sys.executable,
            *arguments,
            *options,
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **surroundings},
    )
    assert done.returncode == 0, done.stderr
    other = next(
        (
            pair
            for pair in zip(entries(slim["archive"]), entries(arguments[3]), strict=False)
            if pair[0] != pair[1]
        ),
        None,
    )
    assert other is None, "the first different entry"
    assert json.loads(done.stdout)["image"]["digest"] == slim["image"]["digest"]


def test_the_demo_verifies_its_slim_image() -> None:
    need("git")
    argv = [sys.executable, "samples/demo.py"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=HERE)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert re.search(
        r"verified .* as 65532:65532 with a read-only root: 0 files missing", output
    ), output
    assert re.search(r"digest .*sha256:[0-9a-f]{64}", output), output
