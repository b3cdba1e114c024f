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
    parse_reference,
    split_name,
)
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.destination import Destination, parse_destination
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.images.write.skopeo_destination import SkopeoDestination
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PODMAN = ImageReference(Transport.CONTAINERS_STORAGE, "", "app")
DOCKER = ImageReference(Transport.DOCKER_DAEMON, "", "app:1")
REGISTRY = ImageReference(Transport.REGISTRY, "", "x.org/app")
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
    ("docker-daemon:app:1", DOCKER, SkopeoDestination(DOCKER)),
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
        ("docker-daemon:app:1", "cannot read docker-daemon:app:1: skopeo is not installed"),
        ("docker://x.org/app", "cannot read docker://x.org/app: skopeo is not installed"),
    ],
)
def test_a_source_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlimtraceError) as caught:
        open_image(text.format(tmp_path))
    assert caught.value.message == message.format(tmp_path)


BAD = [
    ("", "''", "it is not an image reference"),
    ("image", "'image'", "it is not an image reference"),
    ("image.tgz", "'image.tgz'", "it is not an image reference"),
    ("ooci:image.tar", "'ooci:image.tar'", "it is not an image reference"),
    ("OCI:dir", "'OCI:dir'", "it is not an image reference"),
    ("docker:app", "'docker:app'", "it is not an image reference"),
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
