"""Images in a real registry."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from layouts import Layout, entry, paths, tar

from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache_folder")


def push(source: str, destination: str, *options: str) -> None:
    argv = ["skopeo", "copy", "-q", *options, source, destination]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_image_is_fetched_once(
    tmp_path: Path, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image([tar(entry("a"))])
    layout.list(image)
    name = f"docker://{registry}/team/app:1.0"
    push(f"oci:{tmp_path}/image", name)
    found = open_image(name)
    assert (found.digest, paths(found.index)) == (image["digest"], ["a"])
    assert capsys.readouterr().err.count("fetching") == 1
    assert open_image(name).root == found.root
    assert open_image(f"docker://{registry}/team/app@{found.digest}").root == found.root
    assert open_image(f"oci:{tmp_path}/image").root == found.root
    assert capsys.readouterr().err == ""
    with pytest.raises(SlimtraceError, match="cannot read docker://"):
        open_image(f"docker://{registry}/team/none:1")


def test_the_platform_in_a_registry(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "image")
    listed = [
        {
            **layout.image([tar(entry(architecture))], architecture),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture in ("amd64", "arm64", "s390x")
    ]
    kind = "application/vnd.oci.image.index.v1+json"
    layout.list(layout.document({"schemaVersion": 2, "manifests": listed}, kind))
    name = f"docker://{registry}/app"
    push(f"oci:{tmp_path}/image", f"{name}:latest", "--all")
    own = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert paths(open_image(name).index) == [own]
    other = open_image(name, "linux/s390x")
    assert paths(other.index) == ["s390x"]
    with pytest.raises(SlimtraceError, match="an image for linux/riscv64") as raised:
        open_image(name, "linux/riscv64")
    assert "linux/amd64, linux/arm64, linux/s390x" in str(raised.value.hint)
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/another")
    assert paths(open_image(name, digest=other.digest).index) == ["s390x"]


def test_without_skopeo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    with pytest.raises(SlimtraceError, match="skopeo is not installed"):
        open_image("docker://example.org/app")
