"""Hostile images, which try to make slimtrace write outside them, hang, or leave files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from requirements import skip_missing
from roots import busybox_root
from traces import run_slimtrace, show

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))

    def run(
        argv: Sequence[str], *options: str, tree: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        root = tmp_path / "root"
        if not root.exists():
            busybox_root(root, tree)
        arguments = ("-q", "run", "--force", "-o", str(tmp_path / "t"), "--image", f"rootfs:{root}")
        done = run_slimtrace(*arguments, *options, "--", *argv)
        if "user namespaces" in done.stderr:
            skip_missing(done.stderr)
        assert os.listdir(tmp_path / "scratch") == []
        return done

    return run


@pytest.mark.parametrize("volume", [False, True])
def test_a_mount_point_behind_a_loop_is_not_made_outside(
    run: Run, tmp_path: Path, volume: bool
) -> None:
    """The part that os.path.realpath leaves unresolved leads upwards, to the host's root."""
    outside = tmp_path / "outside"
    outside.mkdir()
    name = "etc/data" if volume else "etc/resolv.conf"
    tree = {"etc/loop": "-> loop", "etc/up": f"-> ../..{outside}", name: "-> loop/../up/planted"}
    options = ("-v", f"{tmp_path}/scratch:/etc/data") if volume else ()
    done = run(["id"], *options, tree=tree)
    assert os.listdir(outside) == []
    assert done.returncode == 125
    assert f"/{name}: Too many levels of symbolic links" in done.stderr


@pytest.mark.parametrize("point", ["proc", "sys", "dev"])
def test_the_kernels_directories_are_not_symlinks(run: Run, tmp_path: Path, point: str) -> None:
    """Otherwise, other directories than the machine's /proc would become read-only."""
    (tmp_path / "outside").mkdir()
    target = f"etc/..{tmp_path}/outside"
    done = run(["id"], tree={point: f"-> {target}"})
    assert done.returncode == 125
    assert f"cannot mount on /{point}: it is a symlink to {target}" in done.stderr


def test_mount_points_behind_symlinks_are_in_the_image(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("data\n")
    tree = {"etc/hosts": "-> ../run/hosts", "run": "-> ./work/../work/run", "mnt": "-> /work/m"}
    lines = "[ -s /work/run/hosts ] && cat /work/m/file"
    done = run(["sh", "-c", lines], "-v", f"{tmp_path}/data:/mnt", tree=tree)
    assert (done.returncode, done.stdout) == (0, "data\n"), done.stderr
    assert show(str(tmp_path / "t"))["runs"][0]["volumes"] == ["/mnt", "/work/m"]


def test_volumes_in_volumes(run: Run, tmp_path: Path) -> None:
    """In any order of the options."""
    for name in ("inner", "outer/y"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "inner/file").write_text("")
    arguments = ("-v", f"{tmp_path}/inner:/x/y", "-v", f"{tmp_path}/outer://x")
    assert run(["ls", "/x/y"], *arguments).stdout == "file\n"
    assert set(show(str(tmp_path / "t"))["runs"][0]["volumes"]) == {"/x", "/x/y"}


def test_a_scratch_folder_behind_a_symlink(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "scratch")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "link"))
    done = run(["id", "-u"])
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_trees_deeper_than_any_path_are_removed(run: Run, tmp_path: Path) -> None:
    """2,000 levels: more than Python's recursion limit and the limit of open descriptors."""
    half = "/".join("d" * 1000)
    lines = f"mkdir -p /work/{half} /work/e/{half} && mv /work/d /work/e/{half}/"
    done = run(["sh", "-c", lines])
    assert (done.returncode, done.stderr) == (0, "")


def test_an_invalid_host_name(run: Run) -> None:
    done = run(["id"], "--hostname", "h" * 65)
    assert done.returncode == 2
    assert f"cannot use --hostname '{'h' * 65}': it is not a host name" in done.stderr
