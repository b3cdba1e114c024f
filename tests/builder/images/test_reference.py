"""Image references: every form, as a source and as a destination, and invalid texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.reference import (
    FORMS,
    ImageReference,
    SplitName,
    Transport,
    guess_reference,
    parse_reference,
    split_name,
)
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.destination import (
    Destination,
    find_destination,
    parse_destination,
)
from slimtrace.builder.images.write.docker_destination import DockerDestination
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.images.write.skopeo_destination import SkopeoDestination
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PODMAN = ImageReference(Transport.CONTAINERS_STORAGE, "", "app")
DOCKER = ImageReference(Transport.DOCKER_DAEMON, "", "app:1")
REGISTRY = ImageReference(Transport.REGISTRY, "", "x.org/app")
NO_DOCKER = "Docker does not answer at unix:///none/d.sock (DOCKER_HOST): No such file or directory"
DIGEST = f"sha256:{'0' * 64}"

TABLE: list[tuple[str, ImageReference, Destination]] = [
    (
        "image.tar",
        ImageReference(Transport.ARCHIVE, "image.tar"),
        Archive(ArchiveFormat.HYBRID, "image.tar"),
    ),
    (
        "./a:b.tar",
        ImageReference(Transport.ARCHIVE, "./a:b.tar"),
        Archive(ArchiveFormat.HYBRID, "./a:b.tar"),
    ),
    (
        "/a/oci:b.tar",
        ImageReference(Transport.ARCHIVE, "/a/oci:b.tar"),
        Archive(ArchiveFormat.HYBRID, "/a/oci:b.tar"),
    ),
    ("oci:dir", ImageReference(Transport.OCI, "dir"), OciLayout("dir")),
    ("oci:dir:v1", ImageReference(Transport.OCI, "dir", "v1"), OciLayout("dir", "v1")),
    (
        "oci:dir:example.org/app:1",
        ImageReference(Transport.OCI, "dir", "example.org/app:1"),
        OciLayout("dir", "example.org/app:1"),
    ),
    (
        "oci-archive:a.tar",
        ImageReference(Transport.OCI_ARCHIVE, "a.tar"),
        Archive(ArchiveFormat.OCI, "a.tar"),
    ),
    (
        "oci-archive:a:v1",
        ImageReference(Transport.OCI_ARCHIVE, "a", "v1"),
        Archive(ArchiveFormat.OCI, "a", "v1"),
    ),
    (
        "docker-archive:a",
        ImageReference(Transport.DOCKER_ARCHIVE, "a"),
        Archive(ArchiveFormat.DOCKER, "a"),
    ),
    (
        "docker-archive:a:app",
        ImageReference(Transport.DOCKER_ARCHIVE, "a", "app"),
        Archive(ArchiveFormat.DOCKER, "a", "app:latest"),
    ),
    (
        "docker-archive:a:x.org:5/b/c:1",
        ImageReference(Transport.DOCKER_ARCHIVE, "a", "x.org:5/b/c:1"),
        Archive(ArchiveFormat.DOCKER, "a", "x.org:5/b/c:1"),
    ),
    ("rootfs:dir", ImageReference(Transport.ROOTFS, "dir"), RootfsDestination("dir")),
    (
        "rootfs:with:colon",
        ImageReference(Transport.ROOTFS, "with:colon"),
        RootfsDestination("with:colon"),
    ),
    (
        "tar:root.tar",
        ImageReference(Transport.TARBALL, "root.tar"),
        Archive(ArchiveFormat.ROOT, "root.tar"),
    ),
    ("containers-storage:app", PODMAN, SkopeoDestination(PODMAN)),
    ("docker-daemon:app:1", DOCKER, DockerDestination("app:1")),
    ("docker://x.org/app", REGISTRY, SkopeoDestination(REGISTRY)),
]
"""Each text with its reference and the destination for ``-o``."""


@pytest.mark.parametrize(("text", "reference", "destination"), TABLE)
def test_forms(text: str, reference: ImageReference, destination: Destination) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text
    assert parse_destination(text) == destination


def test_the_table_has_every_transport() -> None:
    assert {reference.transport for _, reference, _ in TABLE} == {*Transport}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}/image.tar", "cannot read {}/image.tar: No such file or directory"),
        ("oci:{}/x:v1", "cannot read oci:{0}/x:v1: {0}/x is not a directory"),
        ("oci-archive:{}/x:v1", "cannot read {}/x: No such file or directory"),
        ("docker-archive:{}/x:app:1", "cannot read {}/x: No such file or directory"),
        ("rootfs:{}/x:y", "cannot read rootfs:{}/x:y: it is not a directory"),
        ("tar:{}/x:y", "cannot read {}/x:y: No such file or directory"),
        ("containers-storage:app", "cannot read containers-storage:app: skopeo is not installed"),
        ("docker-daemon:app", f"cannot read docker-daemon:app:latest: {NO_DOCKER}"),
        ("docker://x.org/app", "cannot read docker://x.org/app: skopeo is not installed"),
    ],
)
def test_a_source_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DOCKER_HOST", "unix:///none/d.sock")
    with pytest.raises(SlimtraceError) as caught:
        open_image(text.format(tmp_path))
    assert caught.value.message == message.format(tmp_path)


BAD = [
    ("", "''", "it is not an image reference"),
    ("App", "'App'", "it is not an image reference"),
    ("a b", "'a b'", "it is not an image reference"),
    ("app@sha256:0", "'app@sha256:0'", "it is not an image reference"),
    ("oci:", "'oci:'", "the path is missing"),
    ("oci::tag", "'oci::tag'", "the path is missing"),
    ("oci-archive:", "'oci-archive:'", "the path is missing"),
    ("docker-archive::app", "'docker-archive::app'", "the path is missing"),
    ("rootfs:", "'rootfs:'", "the path is missing"),
    ("tar:", "'tar:'", "the path is missing"),
    ("docker://", "'docker://'", "the name is missing"),
    ("docker-daemon:", "'docker-daemon:'", "the name is missing"),
    ("containers-storage:", "'containers-storage:'", "the name is missing"),
]


@pytest.mark.parametrize(("text", "quoted", "cause"), BAD)
def test_texts_that_are_no_reference(text: str, quoted: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_image(text)
    assert (caught.value.message, caught.value.hint) == (f"cannot read {quoted}: {cause}", FORMS)
    with pytest.raises(UsageError) as caught:
        parse_destination(text)
    assert caught.value.message == f"cannot write to {quoted}: {cause}"
    assert caught.value.hint == FORMS


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ooci:image", "oci:image"),
        ("OCI:dir", "oci:dir"),
        ("oci-archve:a.tar", "oci-archive:a.tar"),
        ("docker-deamon:app:1", "docker-daemon:app:1"),
        ("docker:app", "docker-daemon:app or docker://app"),
        ("docker:/x.org/app", "docker://x.org/app"),
        ("https://x.org/app:1", "docker://x.org/app:1"),
        ("podman:app", "containers-storage:app"),
        ("container-storage:app", "containers-storage:app"),
        ("root-fs:dir", "rootfs:dir"),
    ],
)
def test_a_mistyped_transport(text: str, meant: str) -> None:
    assert guess_reference(text) == meant
    with pytest.raises(UsageError) as caught:
        parse_destination(text)
    assert caught.value.hint == f"did you mean {meant}?"


@pytest.mark.parametrize("text", ["app", "app:1", "star:1", "python:3.12", "x.org:5/app:1"])
def test_names_are_no_mistyped_transports(text: str) -> None:
    assert guess_reference(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("image.tgz", "image.tar, oci:image.tgz or rootfs:image.tgz"),
        ("./out", "./out.tar, oci:./out or rootfs:./out"),
        ("/x.y/out.tar.gz", "/x.y/out.tar, oci:/x.y/out.tar.gz or rootfs:/x.y/out.tar.gz"),
        ("folder", "folder.tar, oci:folder or rootfs:folder"),
        ("folder/app", "folder/app.tar, oci:folder/app or rootfs:folder/app"),
    ],
)
def test_a_path_without_a_transport_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError) as caught:
        parse_destination(text)
    assert caught.value.hint == f"did you mean {meant}?"


STORED = "containers-storage:localhost/app:1"


@pytest.mark.parametrize(
    ("text", "source", "stored"),
    [
        ("app:1", STORED, STORED),
        ("app", STORED, "containers-storage:localhost/app:latest"),
        ("x.org/app:1", STORED, "containers-storage:x.org/app:1"),
        ("app", "docker-daemon:full:1", "docker-daemon:app:latest"),
        ("team/app:1", "docker-daemon:full:1", "docker-daemon:team/app:1"),
        ("x.org/app:1", "docker://x.org/full:1", "docker://x.org/app:1"),
        ("app:1", "docker://x.org/full:1", STORED),
        ("y.org/app:1", "docker://x.org/full:1", "containers-storage:y.org/app:1"),
        ("app:1", "oci:/full:1", STORED),
        ("app:1", "rootfs:/", STORED),
        ("app:1", None, STORED),
    ],
)
def test_a_name_goes_to_the_store_of_the_full_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, source: str | None, stored: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "podman").touch(0o755)
    assert str(find_destination(text, source)) == stored


def test_a_name_goes_to_the_engine_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(UsageError, match="neither podman nor docker is here"):
        find_destination("app:1", "rootfs:/")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").touch(0o755)
    assert str(find_destination("app:1", "rootfs:/")) == "docker-daemon:app:1"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("docker-daemon:app", "app:latest"),
        ("docker-daemon:x.org:5/app", "x.org:5/app:latest"),
        (f"docker-daemon:app@{DIGEST}", f"app@{DIGEST}"),
        (f"docker-daemon:{DIGEST}", DIGEST),
        ("docker-daemon:0123456789ab", "0123456789ab"),
    ],
)
def test_docker_adds_latest(text: str, name: str) -> None:
    assert parse_reference(text).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oci:dir:a b", "cannot tag the image 'a b': it is not a tag"),
        ("oci-archive:a:b//c", "cannot tag the image 'b//c': it is not a tag"),
        ("docker-archive:a:App", "cannot name the image 'App': it is not NAME or NAME:TAG"),
    ],
)
def test_names_that_no_image_has(text: str, message: str) -> None:
    for parse in (open_image, parse_destination):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "tag", "destination"),
    [
        ("oci:dir", "app", OciLayout("dir", "app:latest")),
        ("oci-archive:a", "app:1", Archive(ArchiveFormat.OCI, "a", "app:1")),
        ("docker-archive:a", "x.org:5/b/c:1", Archive(ArchiveFormat.DOCKER, "a", "x.org:5/b/c:1")),
        ("a.tar", "localhost/app", Archive(ArchiveFormat.HYBRID, "a.tar", "localhost/app:latest")),
    ],
)
def test_tags(text: str, tag: str, destination: Destination) -> None:
    assert parse_destination(text, tag) == destination


@pytest.mark.parametrize(
    ("text", "tag", "message"),
    [
        ("oci:dir:v1", "app", "cannot tag the image 'app': oci:dir:v1 has a name already"),
        ("docker://x/app", "app", "cannot tag the image 'app': docker://x/app has a name already"),
        ("image.tar", "App", "cannot name the image 'App': it is not NAME or NAME:TAG"),
        (
            "image.tar",
            "app@sha256:00",
            "cannot name the image 'app@sha256:00': it is not NAME or NAME:TAG",
        ),
        ("rootfs:dir", "app", "cannot tag the image 'app': rootfs:dir has no place for a name"),
        ("tar:root.tar", "app", "cannot tag the image 'app': tar:root.tar has no place for a name"),
    ],
)
def test_tags_that_are_refused(text: str, tag: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destination(text, tag)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "text",
    ["oci:dir:v1", "oci-archive:a:v1", "docker-archive:a:app:1", "rootfs:dir", "image.tar"],
)
def test_a_destination_prints_as_it_was_given(text: str) -> None:
    assert str(parse_destination(text)) == text


def test_a_tag_prints_where_the_form_has_a_place_for_it() -> None:
    assert str(parse_destination("oci:dir", "app")) == "oci:dir:app:latest"
    assert str(parse_destination("image.tar", "app")) == "image.tar"


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("image.tar", "{}/image.tar"),
        ("./a:b.tar", "{}/a:b.tar"),
        ("oci:./dir:v1", "oci:{}/dir:v1"),
        ("docker-archive:x/../a:app", "docker-archive:{}/a:app:latest"),
        ("rootfs:/", "rootfs:/"),
        ("docker://x.org/app", "docker://x.org/app"),
    ],
)
def test_absolute_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, absolute: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(parse_reference(text).absolute()) == absolute.format(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("app", SplitName("app", "", "")),
        ("team/app:1", SplitName("team/app", "1", "")),
        ("x.org:5/app", SplitName("x.org:5/app", "", "")),
        ("x.org:5/app:1", SplitName("x.org:5/app", "1", "")),
        (f"x.org/app:1@{DIGEST}", SplitName("x.org/app", "1", DIGEST)),
    ],
)
def test_names_are_split(name: str, split: SplitName) -> None:
    assert split_name(name) == split
