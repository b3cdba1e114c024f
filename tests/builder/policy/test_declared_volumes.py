"""The directories of volumes that the full image declares."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from build_fixtures import describe_selection, make_root, make_trace
from engine import need_engine, podman, podman_run
from requirements import need_root
from small_images import make_slim, read_config, small_image
from umoci_images import unpack_image

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = BuildOptions(baseline=False, package_metadata=False)
TREE = {"/data/content": "c", "/link": "-> data", "/file": "f", "/run/app": None, "/a": "a"}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ("/data", {"/data": "directory 2770 volume"}),
        ("/data/", {"/data": "directory 2770 volume"}),
        ("/link", {"/data": "directory 2770 volume", "/link": "-> data symlink"}),
        ("/run/app", {"/run/app": "directory 0755 volume"}),
        ("/none", {}),
        ("/file", {}),
        ("/proc", {}),
        ("/", {}),
    ],
)
def test_what_is_kept_of_a_volume(tmp_path: Path, volume: str, expected: dict[str, str]) -> None:
    top = make_root(tmp_path / "root", TREE, **{"/data": 0o2770})
    selection = select(make_trace(top, []), Root(str(top)), PLAIN, volumes=(volume,))
    assert describe_selection(selection) == expected


def prepare(root: Path) -> None:
    for name, mode in (("data", 0o750), ("logs", 0o700)):
        (root / name).mkdir()
        (root / name / "content").write_text("")
        (root / name).chmod(mode)
        os.chown(root / name, 1000, 1001)


def test_a_volume_that_no_run_touched(tmp_path: Path) -> None:
    """Its user may write to it in the container of an engine."""
    need_root()
    need_engine()
    config = ("user=web", "volume=/data", "volume=/logs", "entrypoint=/job")
    job = {"job": "#!/bin/sh\necho 1 >/${1:-data}/one && cat /${1:-data}/one\n"}
    make_slim(tmp_path, small_image(tmp_path, job, *config, prepare=prepare))
    image = f"oci:{tmp_path}/slim:v1"
    assert read_config(image)["Volumes"] == {"/data": {}, "/logs": {}}
    tree = unpack_image(image, tmp_path / "unpacked")
    for name, mode in (("data", 0o750), ("logs", 0o700)):
        status = (tree / name).stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, 1000, 1001)
        assert not os.listdir(tree / name)
    pulled = podman("pull", "-q", image)
    assert pulled.returncode == 0, pulled.stderr
    try:
        ran = podman_run(pulled.stdout.strip(), "logs")
        assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr
    finally:
        podman("rmi", "-f", pulled.stdout.strip())
