"""Image references: the text after ``--image`` and ``-o``, in the transports of skopeo and podman.

One function, :func:`parse_reference`, parses each of them, as ``alltransports.ParseImageName`` does
in containers/image. It looks at nothing but the text: what an IMAGE without a transport is,
``read/image_search.py`` finds out for a source, ``write/destination.py`` for a destination.
To add a transport:

1. add a member to :class:`Transport`: its prefix, its syntax and its line in the help;
2. read it: add a case to ``open_image`` (``read/full_image_source.py``);
3. write it: add a case to ``make_destination`` (``write/destination.py``).
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from slimtrace.tracer.errors import UsageError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_NAME = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][\w.-]{{0,127}}))?",
    re.ASCII,
)
# image-spec annotations.md: the grammar of org.opencontainers.image.ref.name
_WORD = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_REF_NAME = re.compile(rf"{_WORD}(?:/{_WORD})*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HEX = re.compile(r"[0-9a-f]{12,64}")
_FILE_ENDINGS = (
    *(".tar", ".tgz", ".tzst", ".tbz2", ".txz"),
    *(".tar.gz", ".tar.zst", ".tar.bz2", ".tar.xz", ".tar.zstd", ".oci", ".zip"),
)


class Syntax(Enum):
    """What follows the prefix of a transport.

    :cvar PATH: a path; the format has no place for a name.
    :cvar ARCHIVE: a path that ends in ``.tar``; the name is inside (``--tag`` sets it).
    :cvar PATH_AND_TAG: ``PATH[:TAG]``, the tag of an image in an OCI layout.
    :cvar PATH_AND_NAME: ``PATH[:NAME[:TAG]]``, one of docker's RepoTags.
    :cvar NAME: a name in an engine's store or in a registry.
    """

    PATH = auto()
    ARCHIVE = auto()
    PATH_AND_TAG = auto()
    PATH_AND_NAME = auto()
    NAME = auto()


class Transport(Enum):
    """Where an image is stored and in which format (containers-transports(5))."""

    ARCHIVE = ("", Syntax.ARCHIVE, "FILE.tar", "an archive for docker, podman and skopeo")
    OCI = ("oci:", Syntax.PATH_AND_TAG, "DIR[:TAG]", "an OCI layout")
    OCI_ARCHIVE = ("oci-archive:", Syntax.PATH_AND_TAG, "FILE[:TAG]", "an OCI layout in a tar")
    DOCKER_ARCHIVE = (
        "docker-archive:",
        Syntax.PATH_AND_NAME,
        "FILE[:NAME]",
        "an archive as docker save wrote before 25.0",
    )
    ROOTFS = ("rootfs:", Syntax.PATH, "DIR", "a plain tree")
    TARBALL = ("tar:", Syntax.PATH, "FILE", "a root tarball")
    CONTAINERS_STORAGE = ("containers-storage:", Syntax.NAME, "NAME", "podman's store (skopeo)")
    DOCKER_DAEMON = ("docker-daemon:", Syntax.NAME, "NAME[:TAG]", "docker's store")
    REGISTRY = ("docker://", Syntax.NAME, "NAME", "a registry (skopeo)")

    def __init__(self, prefix: str, syntax: Syntax, form: str, description: str) -> None:
        self.prefix = prefix
        self.syntax = syntax
        self.form = f"{prefix}{form}"
        self.description = description


_ALIASES = {
    "podman": Transport.CONTAINERS_STORAGE,
    "storage": Transport.CONTAINERS_STORAGE,
    "dockerd": Transport.DOCKER_DAEMON,
    "registry": Transport.REGISTRY,
    "https": Transport.REGISTRY,
    "http": Transport.REGISTRY,
    "oci-layout": Transport.OCI,
    "dir": Transport.ROOTFS,
    "folder": Transport.ROOTFS,
    "file": Transport.ARCHIVE,
}
"""What other tools and users call a transport."""

FORMS = "\n".join(f"{each.form:<28} {each.description}" for each in Transport)
"""All forms of a reference, one a line, for help texts and error messages."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image in a transport; ``str()`` gives the text that :func:`parse_reference` parses.

    :ivar location: the path of the file or directory; "" in a store and in a registry.
    :ivar name: the tag or ``NAME[:TAG]``, as the user wrote it; None where none was given.
    """

    transport: Transport
    location: str
    name: str | None = None

    def __str__(self) -> str:
        transport = self.transport
        if transport.syntax is Syntax.NAME:
            return f"{transport.prefix}{self.name}"
        text = f"{transport.prefix}{self.location}"
        has_name = self.name is not None and transport.syntax is not Syntax.ARCHIVE
        return f"{text}:{self.name}" if has_name else text

    def absolute(self) -> ImageReference:
        """The same image, found from every working directory: an absolute path, a full name."""
        match self.transport.syntax:
            case Syntax.NAME:
                return self
            case Syntax.PATH_AND_NAME:
                name = self.name and image_name(self.name)
            case _:
                name = self.name
        return replace(self, location=os.path.abspath(self.location), name=name)

    def with_tag(self, tag: str | None) -> ImageReference:
        """The reference with the name that ``--tag`` gives: ``NAME[:TAG]``, or None for none.

        :raises UsageError: the reference has a name already, or no place for one; ``tag`` is not
            a name.
        """
        if not tag:
            return self
        if self.name:
            raise UsageError(
                f"cannot tag the image {tag!r}: {self} has a name already",
                "name the image once, in -o or with --tag",
            )
        if self.transport.syntax is Syntax.PATH:
            raise UsageError(
                f"cannot tag the image {tag!r}: {self} has no place for a name",
                "write an archive, as in -o image.tar",
            )
        return replace(self, name=image_name(tag))


def parse_reference(text: str, verb: str = "read") -> ImageReference:
    """Parse an image reference.

    As in skopeo, the first colon after the prefix ends a path that a tag or name can follow.

    :param verb: what the caller does with the image, for the message ``cannot VERB 'TEXT'``.
    :raises UsageError: ``text`` is not an image reference.
    """
    transport = find_transport(text)
    failure = f"cannot {verb} {text!r}"
    if transport is None:
        raise UsageError(f"{failure}: it is not an image reference", make_hint(text))
    rest = text.removeprefix(transport.prefix)
    location, name = rest, ""
    match transport.syntax:
        case Syntax.NAME:
            location, name = "", rest
            if rest and transport is Transport.DOCKER_DAEMON:
                name = add_latest(rest)
        case Syntax.PATH_AND_TAG:
            location, _, name = rest.partition(":")
            check_ref_name(name)
        case Syntax.PATH_AND_NAME:
            location, _, name = rest.partition(":")
            if name:
                image_name(name)
        case Syntax.PATH | Syntax.ARCHIVE:
            pass
    if not location and transport.syntax is not Syntax.NAME:
        raise UsageError(f"{failure}: the path is missing", FORMS)
    if not name and transport.syntax is Syntax.NAME:
        raise UsageError(f"{failure}: the name is missing", FORMS)
    return ImageReference(transport, location, name or None)


def find_transport(text: str) -> Transport | None:
    """Find the transport that a text names.

    A path that ends in ``.tar``, and an absolute one, are an archive.
    """
    for transport in Transport:
        if transport.prefix and text.startswith(transport.prefix):
            return transport
    before, colon, _ = text.partition(":")
    # A slash before the colon belongs to a path, never to a transport: ./a:b.tar
    is_archive = text.endswith(".tar") and (not colon or "/" in before)
    return Transport.ARCHIVE if is_archive or text.startswith("/") else None


def looks_like_path(text: str) -> bool:
    """Whether a text can only be meant as a path, whether or not that exists."""
    return text.startswith((".", "/", "~")) or text.endswith(_FILE_ENDINGS)


def is_image_name(text: str) -> bool:
    """Whether docker and podman would take a text as ``NAME[:TAG][@DIGEST]``."""
    name, at, digest = text.partition("@")
    return _NAME.fullmatch(name) is not None and (not at or is_digest(digest))


def is_digest(text: str) -> bool:
    """Whether a text is a digest of an algorithm that images use (descriptor.md)."""
    return _DIGEST.fullmatch(text) is not None


def add_latest(name: str) -> str:
    """A name in docker's store with the tag that docker gives it; an ID stays as it is."""
    parts = split_name(name)
    if parts.tag or parts.digest or _HEX.fullmatch(name):
        return name
    return f"{name}:latest"


def make_hint(text: str) -> str:
    """The next step after a text that is not an image reference: what was probably meant."""
    meant = guess_reference(text)
    return FORMS if meant is None else f"did you mean {meant}?"


def guess_reference(text: str) -> str | None:
    """Guess the reference that was meant by a text with a mistyped transport; None for no idea."""
    word, separator, rest = text.partition(":")
    rest = rest.lstrip("/")
    if not separator or not rest:
        return None
    known = {each.prefix.rstrip(":/"): each for each in Transport if each.prefix}
    known.update(_ALIASES)
    near = difflib.get_close_matches(word.lower(), known, 1, 0.75)
    if not near or near[0][0] != word[0].lower():  # "star:1" is a name
        return None
    prefix = known[near[0]].prefix
    if near[0] == "docker" and not text.partition(":")[2].startswith("/"):
        return f"{Transport.DOCKER_DAEMON.prefix}{rest} or {prefix}{rest}"
    return f"{prefix}{rest}"


class SplitName(NamedTuple):
    """``REPOSITORY[:TAG][@DIGEST]``, split; "" for each part that is missing."""

    repository: str
    tag: str
    digest: str


def split_name(name: str) -> SplitName:
    """Split a name in a registry or a store. A colon before a slash belongs to a port."""
    name, _, digest = name.partition("@")
    parent, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return SplitName(f"{parent}{slash}{last}", tag, digest)


def image_name(text: str) -> str:
    """``NAME:TAG`` as ``docker save`` records it: ``:latest`` where no tag is given.

    :raises UsageError: docker and podman would not take ``text`` as an image name.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise UsageError(
            f"cannot name the image {text!r}: it is not NAME or NAME:TAG",
            "names are lower case, as in example.org/team/app:1.0",
        )
    return f"{match['name']}:{match['tag'] or 'latest'}"


def has_registry(name: str) -> bool:
    """Whether a name begins with a registry's host."""
    host, slash, _ = name.partition("/")
    return bool(slash) and (host == "localhost" or not {".", ":"}.isdisjoint(host))


def canonical_name(name: str) -> str:
    """``name`` with docker's default registry where it has none (docker.io/library/)."""
    if has_registry(name):
        return name
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def check_ref_name(text: str) -> None:
    """Check a tag in an OCI layout; an empty one is none.

    :raises UsageError: it breaks the grammar of ``org.opencontainers.image.ref.name``.
    """
    if text and not _REF_NAME.fullmatch(text):
        raise UsageError(f"cannot tag the image {text!r}: it is not a tag", "as in oci:app:1.0")
