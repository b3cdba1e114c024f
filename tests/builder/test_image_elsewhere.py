"""``build --image``: the full image has another path than during the runs."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from requirements import need
from roots import busybox_root
from traces import check_failure, environment, run_slimtrace
from umoci_images import make_layout

if TYPE_CHECKING:
    from pathlib import Path


def slimtrace(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = environment(XDG_CACHE_HOME=str(folder / "cache"), TMPDIR=str(folder))
    return run_slimtrace(*argv, cwd=str(folder), env=env)


def trace(folder: Path, image: str, to: str) -> None:
    done = slimtrace(folder, "-q", "run", "--image", image, "-o", to, "--", "/bin/cat", "/f")
    assert done.returncode == 0, done.stderr


def layout(folder: Path, name: str, text: str) -> str:
    """An image with a file ``/f``, by umoci."""
    need("umoci")
    top = folder / f"{name}.root"
    busybox_root(top, {"f": text})
    subprocess.run(["tar", "-C", top, "-cf", folder / f"{name}.tar", "."], check=True)
    return make_layout([folder / f"{name}.tar"], str(folder / name))


@pytest.mark.parametrize("kind", ["rootfs", "oci"])
def test_an_image_that_is_gone(tmp_path: Path, kind: str) -> None:
    if kind == "oci":
        image = layout(tmp_path, "full", "one\n")
    else:
        busybox_root(tmp_path / "full", {"f": "one\n"})
        image = f"rootfs:{tmp_path}/full"
    trace(tmp_path, image, "t")
    os.rename(tmp_path / "full", tmp_path / "moved")
    done = slimtrace(tmp_path, "cache", "--prune")
    assert done.returncode == 0, done.stderr
    done = slimtrace(tmp_path, "build", "t", "-o", "rootfs:slim")
    check_failure(done, 125, "cannot read ", "if it has moved, name it with --image")
    there = image.replace(f"{tmp_path}/full", "./moved")
    done = slimtrace(tmp_path, "-q", "build", "t", "-o", "rootfs:slim", "--image", there)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "slim/f").read_text() == "one\n"


def test_another_image_is_refused(tmp_path: Path) -> None:
    one, two = layout(tmp_path, "one", "one\n"), layout(tmp_path, "two", "two\n")
    trace(tmp_path, one, "t")
    argv = ("build", "t", "-o", "rootfs:slim", "--image")
    for other, is_now in ((two, "it is sha256:"), (f"rootfs:{tmp_path}/one.root", "a plain tree")):
        done = slimtrace(tmp_path, "-q", *argv, other)
        check_failure(done, 125, is_now, "name the image that the app ran in")
    assert not (tmp_path / "slim").exists()


def test_merged_runs_of_different_images(tmp_path: Path) -> None:
    one, two = layout(tmp_path, "one", "one\n"), layout(tmp_path, "two", "two\n")
    trace(tmp_path, one, "a")
    trace(tmp_path, two, "b")
    done = slimtrace(tmp_path, "merge", "a", "b", "-o", "t")
    check_failure(done, 125, "they are of different images: ", "--different-images")
    done = slimtrace(tmp_path, "-q", "merge", "a", "b", "-o", "t", "--different-images")
    assert done.returncode == 0, done.stderr
    done = slimtrace(tmp_path, "build", "t", "-o", "rootfs:slim")
    check_failure(done, 125, "its runs used different images", "--image")
    argv = ("build", "t", "-o", "rootfs:slim", "--json", "--allow-changed", "--image", one)
    done = slimtrace(tmp_path, *argv)
    assert done.returncode == 0, done.stderr
    assert "is not the image of all runs" in json.loads(done.stdout)["warnings"][0]
    assert (tmp_path / "slim/f").read_text() == "one\n"
