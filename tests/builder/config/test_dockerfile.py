"""Dockerfile lines for trees: what a builder makes of them is the configuration itself."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from engine import build_archive
from tree_images import CONFIG, make_file_entry, make_tree_image

from slimtrace.builder.images.documents import make_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.reference import parse_reference
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.builder.model import Selection
from slimtrace.builder.report import BuildReport, WrittenImage
from slimtrace.builder.root.host_root import Totals

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.model import ImageConfig

AWKWARD = replace(
    CONFIG,
    entrypoint=("/bin/the app", "a'b", 'c"d', "$HOME", "back\\", "ünï"),
    cmd=("line\nbreak", ""),
    env=(
        *("PATH=/usr/bin", "EMPTY=", "SPACE= a  b ", 'QUOTE=it\'s "quoted"', "DOLLAR=$PATH ${X}"),
        *("BACK=a\\b\\", "BOTH=\\\"$x' \\\\", "HASH=#no comment", "EQUALS=a=b=c", "UMLAUT=ü"),
    ),
    labels={"org.example.the-title": 'a $b "c" d\'e', "with space": "x\\y"},
    exposed_ports=("8080/tcp", "53/udp"),
    volumes=("/data", "/var/with space"),
    working_dir="/srv/a b",
    stop_signal="SIGQUIT",
    healthcheck={
        "Test": ["CMD-SHELL", "[ -f /x ] && echo \"$HOME\" 'y' || exit 1"],
        "Interval": 1_500_000_000,
        "Timeout": 30_000_000_000,
        "Retries": 3,
    },
)


def make_report(config: ImageConfig, destination: str, tmp_path: Path) -> BuildReport:
    """Write a tree or an image with one file, and make the report of it."""
    (tmp_path / "file").write_text("content")
    owner = (1234, 5678) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    entry = replace(make_file_entry(tmp_path / "file"), uid=owner[0], gid=owner[1], mode=0o640)
    image = make_image(make_tree_image([entry], tmp_path / "work").layer, config)
    to = parse_destination(destination)
    to.write(image, [entry])
    written = WrittenImage(image, str(to), parse_reference(destination))
    return BuildReport(written, Selection({}), Totals(1, 7), Totals(1, 7))


def check_built(tmp_path: Path, report: BuildReport, *options: str) -> None:
    """Build an image by the lines of the report, and compare its configuration and its file."""
    context = tmp_path / "context"
    context.mkdir(exist_ok=True)
    lines = report.document()["dockerfile"]
    (context / "Dockerfile").write_text("".join(f"{line}\n" for line in lines))
    archive = f"{tmp_path}/built"
    done = build_archive(str(context), archive, "--format", "docker", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    built = open_image(f"docker-archive:{archive}")
    wanted = json.loads(report.written.image.config)["config"]
    found = {key: value for key, value in built.config["config"].items() if key in wanted}
    found.get("Labels", {}).pop("io.buildah.version", None)
    assert {**found, "Env": sorted(found["Env"])} == wanted
    status = os.stat(f"{built.root}/file")
    if os.geteuid() == 0:
        assert (status.st_uid, status.st_gid) == (1234, 5678)
    assert status.st_mode & 0o7777 == 0o640


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize("config", [CONFIG, AWKWARD], ids=["plain", "awkward"])
def test_an_image_built_of_a_tree_has_the_same_configuration(
    tmp_path: Path, config: ImageConfig
) -> None:
    report = make_report(config, f"rootfs:{tmp_path}/the tree", tmp_path)
    check_built(tmp_path, report, "--build-context=build=/")


@pytest.mark.usefixtures("cache_folder")
def test_an_image_built_of_a_tarball_has_the_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    check_built(tmp_path, make_report(CONFIG, f"tar:{tmp_path}/context/a tree.tar", tmp_path))


def test_what_no_dockerfile_can_say_is_a_comment(tmp_path: Path) -> None:
    health = {"Test": ["CMD-SHELL", "one\ntwo"]}
    config = replace(CONFIG, env=("A=x\ny", "B C=1"), labels={"l": "1\r2"}, healthcheck=health)
    lines = make_report(config, f"tar:{tmp_path}/t.tar", tmp_path).dockerfile()
    assert lines == (
        *("FROM scratch", "ADD t.tar /"),
        "# ENV A: a Dockerfile cannot have a line break in a value",
        '# ENV "B C": a Dockerfile cannot have this name',
        "# LABEL l: a Dockerfile cannot have a line break in a value",
        *("EXPOSE 8080/tcp", "# HEALTHCHECK: a Dockerfile cannot have this one"),
        *("USER 65532:65532", "WORKDIR /", 'ENTRYPOINT ["/program"]', 'CMD ["one","two"]'),
    )


def test_an_image_that_has_its_configuration_needs_no_dockerfile(tmp_path: Path) -> None:
    report = make_report(CONFIG, f"{tmp_path}/image.tar", tmp_path)
    assert report.dockerfile() == ()
    assert "dockerfile" not in report.document()
