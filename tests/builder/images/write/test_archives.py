"""Archives and layouts, read by skopeo, umoci and podman."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from engine import compile_static, need_engine, podman, podman_run
from requirements import need
from tree_images import list_entries, make_file_entry, make_tree_image, make_varied_tree

from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.builder.model import Entry, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from docker_daemon import DockerDaemon

    from slimtrace.builder.model import Image

PROGRAM = """
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("%s %d:%d %s", argv[argc - 1], getuid(), getgid(), argc == 3 ? "three" : "other");
    return access("/etc/nothing", F_OK) ? 1 : 7;
}
"""


@pytest.fixture
def image(tmp_path: Path) -> Image:
    make_varied_tree(tmp_path / "root")
    compile_static(str(tmp_path / "root"), PROGRAM)
    return make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work")


def write(text: str, image: Image, tag: str | None = None) -> None:
    destination = parse_destination(text, tag)
    destination.prepare()
    destination.write(image, ())


def skopeo(*argv: str) -> str:
    need("skopeo")
    return subprocess.run(["skopeo", *argv], check=True, capture_output=True, text=True).stdout


def digest(name: str) -> str:
    raw = skopeo("inspect", "--raw", name)
    return f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("written", "tag", "read"),
    [
        ("oci:{}/out", None, "oci:{}/out"),
        ("oci:{}/out:v1", None, "oci:{}/out:v1"),
        ("oci:{}/out", "app", "oci:{}/out:app:latest"),
        ("oci-archive:{}/out", None, "oci-archive:{}/out"),
        ("oci-archive:{}/out:v1", None, "oci-archive:{}/out:v1"),
        ("{}/out.tar", None, "oci-archive:{}/out.tar"),
        ("{}/out.tar", "app:1", "oci-archive:{}/out.tar:app:1"),
    ],
)
def test_skopeo_reads_the_very_manifest(
    tmp_path: Path, image: Image, written: str, tag: str | None, read: str
) -> None:
    write(written.format(tmp_path), image, tag)
    assert digest(read.format(tmp_path)) == image.digest
    skopeo("copy", read.format(tmp_path), f"dir:{tmp_path}/copy")
    assert digest(f"dir:{tmp_path}/copy") == image.digest


@pytest.mark.parametrize(
    ("written", "tag", "read"),
    [
        ("docker-archive:{}/out", None, "docker-archive:{}/out"),
        ("docker-archive:{}/out:app:1", None, "docker-archive:{}/out:app:1"),
        ("{}/out.tar", None, "docker-archive:{}/out.tar"),
        ("{}/out.tar", "app", "docker-archive:{}/out.tar:app:latest"),
    ],
)
def test_skopeo_reads_docker_archives(
    tmp_path: Path, image: Image, written: str, tag: str | None, read: str
) -> None:
    write(written.format(tmp_path), image, tag)
    inspected_config = json.loads(skopeo("inspect", "--config", read.format(tmp_path)))
    assert inspected_config == json.loads(image.config)
    skopeo("copy", read.format(tmp_path), f"dir:{tmp_path}/copy")
    config = json.loads(skopeo("inspect", "--raw", f"dir:{tmp_path}/copy"))["config"]
    assert config["digest"] == image.config_digest


def test_the_configuration_says_what_runs(tmp_path: Path, image: Image) -> None:
    write(f"{tmp_path}/out.tar", image)
    inspected_config = json.loads(skopeo("inspect", "--config", f"oci-archive:{tmp_path}/out.tar"))
    assert inspected_config["config"] == {
        "Cmd": ["one", "two"],
        "Entrypoint": ["/program"],
        "Env": ["LANG=C.UTF-8", "PATH=/usr/bin"],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {"org.opencontainers.image.title": "specimens", "team": "blue"},
        "User": "65532:65532",
        "WorkingDir": "/",
    }
    assert inspected_config["rootfs"] == {"type": "layers", "diff_ids": [image.layer.diff_id]}
    assert len(inspected_config["history"]) == 1
    assert json.loads(image.manifest)["annotations"] == {
        "org.opencontainers.image.created": "2024-05-06T07:08:09Z",
        "org.opencontainers.image.title": "specimens",
    }


LOADED = [
    ("{}/out.tar", "slimtrace-test:hybrid", "slimtrace-test:hybrid"),
    ("docker-archive:{}/out:slimtrace-test:docker", None, "slimtrace-test:docker"),
    ("{}/out.tar", None, None),
    ("docker-archive:{}/out", None, None),
]


@pytest.mark.parametrize(
    ("written", "tag", "loaded"),
    [*LOADED, ("oci-archive:{}/out", "slimtrace-test:oci", "slimtrace-test:oci")],
)
def test_podman_loads_and_runs(
    tmp_path: Path, image: Image, written: str, tag: str | None, loaded: str | None
) -> None:
    need_engine()
    write(written.format(tmp_path), image, tag)
    path = tmp_path / ("out.tar" if written.endswith(".tar") else "out")
    done = podman("load", "-i", str(path))
    assert done.returncode == 0, done.stderr
    name = loaded or image.config_digest.removeprefix("sha256:")
    try:
        ran = podman_run(name)
        assert (ran.stdout, ran.returncode) == ("two 65532:65532 three", 7), ran.stderr
    finally:
        assert podman("rmi", name).returncode == 0


@pytest.mark.parametrize(("written", "tag", "loaded"), LOADED)
def test_docker_loads_and_runs(
    tmp_path: Path,
    image: Image,
    docker_daemon: DockerDaemon,
    written: str,
    tag: str | None,
    loaded: str | None,
) -> None:
    write(written.format(tmp_path), image, tag)
    path = tmp_path / ("out.tar" if written.endswith(".tar") else "out")
    name = docker_daemon.load(str(path))
    assert name == (loaded or image.config_digest)
    options = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    try:
        ran = docker_daemon.run(*options, name)
        assert (ran.stdout, ran.returncode) == ("two 65532:65532 three", 7), ran.stderr
    finally:
        assert docker_daemon.docker("rmi", name).returncode == 0


def test_the_same_image_gives_the_same_archive(tmp_path: Path, image: Image) -> None:
    for form in ("{}.tar", "oci-archive:{}", "docker-archive:{}", "tar:{}"):
        found = set()
        for number in range(2):
            path = f"{tmp_path}/out-{number}"
            write(form.format(path), image)
            with open(path + ".tar" * (form == "{}.tar"), "rb") as file:
                found.add(hashlib.sha256(file.read()).hexdigest())
        assert len(found) == 1, form


def test_a_root_tarball_is_the_layer_unpacked(tmp_path: Path, image: Image) -> None:
    write(f"tar:{tmp_path}/root.tar", image)
    found = hashlib.sha256((tmp_path / "root.tar").read_bytes()).hexdigest()
    assert f"sha256:{found}" == image.layer.diff_id


def test_names_in_a_hybrid_archive(tmp_path: Path, image: Image) -> None:
    write(f"{tmp_path}/out.tar", image, "team/app")
    with tarfile.open(tmp_path / "out.tar") as tar:
        documents = [tar.extractfile(name) for name in ("manifest.json", "index.json")]
        manifest, index = (json.load(document) for document in documents if document)
    assert manifest[0]["RepoTags"] == ["team/app:latest"]
    assert index["manifests"][0]["annotations"] == {
        "io.containerd.image.name": "docker.io/team/app:latest",
        "org.opencontainers.image.ref.name": "team/app:latest",
    }


def test_a_name_for_a_store_is_written_there(tmp_path: Path, image: Image) -> None:
    need("skopeo")
    need_engine()
    write("containers-storage:localhost/slimtrace-test:stored", image)
    try:
        ran = podman_run("localhost/slimtrace-test:stored")
        assert ran.returncode == 7, ran.stderr
    finally:
        assert podman("rmi", "localhost/slimtrace-test:stored").returncode == 0


def tags(folder: Path) -> dict[str | None, str]:
    listed = json.loads((folder / "index.json").read_text())["manifests"]
    name = "org.opencontainers.image.ref.name"
    return {one.get("annotations", {}).get(name): one["digest"] for one in listed}


def test_a_tag_is_added_to_a_layout_or_replaced_there(tmp_path: Path) -> None:
    images = []
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        images.append(make_tree_image([make_file_entry(tmp_path / "file")], tmp_path / "work"))
    layout = tmp_path / "layout"
    layout.mkdir()
    need("umoci", "skopeo")
    os.rmdir(layout)
    subprocess.run(["umoci", "init", "--layout", str(layout)], check=True)
    for number, tag in enumerate(["a", "b", "a"]):
        write(f"oci:{layout}:{tag}", images[number])
    assert tags(layout) == {"b": images[1].digest, "a": images[2].digest}
    for number in (0, 1):
        write(f"oci:{layout}", images[number])
    assert tags(layout) == {"b": images[1].digest, "a": images[2].digest, None: images[1].digest}
    for tag, number in (("a", 2), ("b", 1)):
        assert digest(f"oci:{layout}:{tag}") == images[number].digest
    done = subprocess.run(
        ["umoci", "list", "--layout", str(layout)], check=True, capture_output=True, text=True
    )
    assert sorted(done.stdout.split()) == ["a", "b"]


def test_an_empty_image(tmp_path: Path) -> None:
    image = make_tree_image([Entry("/", Kind.DIRECTORY, 0o755, 0, 0, 0)], tmp_path / "work")
    write(f"{tmp_path}/out.tar", image)
    skopeo("copy", f"oci-archive:{tmp_path}/out.tar", f"dir:{tmp_path}/copy")
    assert digest(f"dir:{tmp_path}/copy") == image.digest
