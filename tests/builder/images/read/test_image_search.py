"""IMAGE without a transport: paths by their content, names in stores and registries."""

from __future__ import annotations

import gzip
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard
from engine import podman
from layouts import Layout, entry, folder, paths, tar
from requirements import need

from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.read.image_path import find_path
from slimtrace.builder.images.read.image_search import add_transport, choose_name, find_reference
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path

    from docker_daemon import DockerDaemon

pytestmark = pytest.mark.usefixtures("cache_folder")

ROOT = tar(folder("./"), folder("./etc"), entry("./etc/os-release"), entry("./a"))
NOWHERE = "unix:///none/d.sock"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image in every form."""
    need("skopeo")
    top = tmp_path_factory.mktemp("forms")
    layout = Layout(top / "layout")
    layout.list(layout.image([ROOT]), "v1")
    (top / "root.tar").write_bytes(ROOT)
    (top / "root.tgz").write_bytes(gzip.compress(ROOT, 1, mtime=0))
    (top / "root.tar.zst").write_bytes(zstandard.compress(ROOT))
    with tarfile.open(top / "root.tar") as archive:
        archive.extractall(top / "tree", filter="data")
    for form, name in (("oci", "v1"), ("docker", "app:1")):
        copy(f"oci:{top}/layout:v1", f"{form}-archive:{top}/{form}.tar:{name}")
        data = (top / f"{form}.tar").read_bytes()
        (top / f"{form}.tar.gz").write_bytes(gzip.compress(data, 1, mtime=0))
        (top / f"{form}.img").write_bytes(data)
    return top


@pytest.fixture
def forms(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with these, as the working directory. No test changes what is there."""
    monkeypatch.chdir(made)
    return made


def copy(source: str, destination: str) -> None:
    done = subprocess.run(
        ["skopeo", "copy", "-q", source, destination], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store of podman for this test alone."""
    need("podman", "skopeo")
    lines = ["[storage]", 'driver = "vfs"']
    lines += [f'{name} = "{tmp_path}/{name}"' for name in ("graphroot", "runroot")]
    (tmp_path / "storage.conf").write_text("\n".join(lines))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", f"{tmp_path}/storage.conf")
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("layout", "oci:layout"),
        ("./layout", "oci:./layout"),
        ("layout:v1", "oci:layout:v1"),
        ("{}/layout:v1", "oci:{}/layout:v1"),
        ("oci.tar", "oci.tar"),
        ("oci.tar.gz", "oci.tar.gz"),
        ("oci.img", "oci.img"),
        ("oci.tar:v1", "docker-archive:oci.tar:v1"),
        ("docker.tar", "docker.tar"),
        ("docker.tar.gz", "docker.tar.gz"),
        ("docker.tar:app:1", "docker-archive:docker.tar:app:1"),
        ("root.tar", "tar:root.tar"),
        ("root.tgz", "tar:root.tgz"),
        ("./root.tar.zst", "tar:./root.tar.zst"),
    ],
)
def test_a_path_is_taken_for_its_content(
    forms: Path, capsys: pytest.CaptureFixture[str], text: str, taken: str
) -> None:
    text, taken = text.format(forms), taken.format(forms)
    assert str(find_reference(text)) == taken
    said = f"slimtrace: using {taken}\n" if ":" in taken else ""
    assert capsys.readouterr().err == said
    assert {"a", "etc/os-release"} <= {*paths(open_image(text).index)}


@pytest.mark.parametrize("text", ["./tree", "{}/tree", "tree/.", "tree/"])
def test_a_tree(forms: Path, text: str) -> None:
    assert open_image(text.format(forms)).source == f"rootfs:{forms}/tree"


def test_a_folder_with_a_name_is_a_tree_only_if_it_is_a_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "podman/etc").mkdir(parents=True)
    with pytest.raises(SlimtraceError, match="cannot find the image 'podman:"):
        find_reference("podman:1")
    with pytest.raises(SlimtraceError, match=r"cannot find the image .127\.0\.0\.1:9/podman."):
        find_reference("127.0.0.1:9/podman")
    assert find_path("podman") is None
    (tmp_path / "podman/usr").mkdir()
    assert str(find_reference("podman")) == "rootfs:podman"


def test_what_was_taken_is_found_again(forms: Path) -> None:
    for text in ("oci.tar.gz", "docker.tar:app:1", "root.tgz", "layout:v1"):
        image = open_image(text)
        again = open_image(image.source)
        assert (again.source, again.root) == (image.source, image.root)


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("notes.txt", b"text\n", "it is neither an archive of an image nor a root tarball"),
        ("notes.tar", b"text\n" * 200, "it is neither an archive of an image nor a root tarball"),
        ("empty.tar", b"", "it is neither an archive of an image nor a root tarball"),
        ("root.tar.xz", b"\xfd7zXZ\x00" + b"x" * 600, "it is packed by xz"),
        ("app.zip", b"PK\x03\x04" + b"x" * 600, "it is packed by zip"),
        ("cut.tgz", gzip.compress(ROOT, 1, mtime=0)[:60], "its compressed data is truncated"),
    ],
)
def test_files_that_are_no_image(tmp_path: Path, name: str, content: bytes, cause: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SlimtraceError) as caught:
        find_reference(f"{tmp_path}/{name}")
    assert caught.value.message == f"cannot read {tmp_path}/{name}: {cause}"
    assert caught.value.hint is not None


def test_a_folder_of_skopeo(forms: Path, tmp_path: Path) -> None:
    place = f"{tmp_path}/copied"
    copy("oci:layout:v1", f"dir:{place}")
    with pytest.raises(SlimtraceError, match="skopeo's dir: transport") as caught:
        find_reference(place)
    assert caught.value.hint == f"copy it to a layout: skopeo copy dir:{place} oci:LAYOUT:latest"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("./dokcer.tar", "did you mean ./docker.tar or ./docker.tar.gz?"),
        ("{}/layuot", "did you mean {}/layout?"),
        ("./nothing-like-it", None),
        ("none/x.tar", None),
    ],
)
def test_a_path_that_does_not_exist(forms: Path, text: str, hint: str | None) -> None:
    text = text.format(forms)
    with pytest.raises(SlimtraceError) as caught:
        find_reference(text)
    assert caught.value.message == f"cannot read {text}: No such file or directory"
    assert caught.value.hint == (hint and hint.format(forms))


@pytest.mark.parametrize(
    ("text", "stored", "chosen"),
    [
        ("app", ["localhost/app:latest", "docker.io/library/app:latest"], "localhost/app:latest"),
        ("app", ["docker.io/library/app:latest"], "docker.io/library/app:latest"),
        ("team/app:1", ["docker.io/team/app:1"], "docker.io/team/app:1"),
        ("x.org/app", ["x.org/app:latest", "localhost/x.org/app:latest"], "x.org/app:latest"),
        ("app", ["quay.io/team/app:latest"], "quay.io/team/app:latest"),
        ("app", ["quay.io/a/app:latest", "quay.io/b/app:latest"], None),
        ("app", ["localhost/app:1"], None),
        ("app", ["localhost/myapp:latest"], None),
    ],
)
def test_short_names(text: str, stored: list[str], chosen: str | None) -> None:
    assert choose_name(text, stored) == chosen


def test_a_name_is_searched_in_order(
    forms: Path,
    tmp_path: Path,
    store: None,
    docker_daemon: DockerDaemon,
    registry: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in docker_daemon.environment.items():
        monkeypatch.setenv(name, value)
    name = f"{registry}/team/searched:1"
    copy("oci:layout:v1", f"docker://{name}")
    image = open_image(name)
    assert (image.source, "a" in paths(image.index)) == (f"docker://{name}", True)
    copy("oci:layout:v1", f"docker-archive:{tmp_path}/named.tar:{name}")
    docker_daemon.load(f"{tmp_path}/named.tar")
    try:
        image = open_image(name)
        assert (image.source, "a" in paths(image.index)) == (f"docker-daemon:{name}", True)
        copy("oci:layout:v1", f"containers-storage:{name}")
        image = open_image(name)
        assert (image.source, "a" in paths(image.index)) == (f"containers-storage:{name}", True)
        said = [line for line in capsys.readouterr().err.splitlines() if "using" in line]
        assert [line.partition(":")[2] for line in said] == [
            f" using docker://{name}",
            f" using docker-daemon:{name}",
            f" using containers-storage:{name}",
        ]
    finally:
        docker_daemon.docker("rmi", name)


def test_a_name_that_is_nowhere(forms: Path, store: None) -> None:
    copy("oci:layout:v1", "containers-storage:localhost/hello:latest")
    assert add_transport("hello") == "containers-storage:localhost/hello:latest"
    assert podman("images", "--quiet").stdout.strip()
    for text in ("helo:latest", "hello:2"):
        with pytest.raises(SlimtraceError) as caught:
            find_reference(f"127.0.0.1:9/{text}")
        assert caught.value.message.startswith(
            f"cannot find the image '127.0.0.1:9/{text}': there is no such path; podman's storage "
            f"does not have it; Docker does not answer at {NOWHERE} (DOCKER_HOST): No such file or "
            "directory; 127.0.0.1:9: "
        )
        assert caught.value.hint == "did you mean localhost/hello:latest?"


def test_a_mistyped_transport_is_said_after_the_stores(forms: Path, store: None) -> None:
    with pytest.raises(SlimtraceError) as caught:
        find_reference("ooci:layout")
    assert caught.value.hint == "did you mean oci:layout?"
    assert "docker.io" not in caught.value.message
