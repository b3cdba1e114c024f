"""Image names as docker and podman know them (distribution/reference), and OCI tags."""

from __future__ import annotations

import re

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


def image_name(text: str) -> str:
    """``NAME:TAG`` as ``docker save`` records it: ``:latest`` where no tag is given.

    :raises UsageError: ``text`` is no image name that docker and podman would take.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise UsageError(
            f"cannot name the image {text!r}: it is not NAME or NAME:TAG",
            "names are lower case, as in example.org/team/app:1.0",
        )
    return f"{match['name']}:{match['tag'] or 'latest'}"


def canonical_name(name: str) -> str:
    """``name`` with the registry that docker means where none is given (docker.io/library/)."""
    host, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if host == "localhost" or not {".", ":"}.isdisjoint(host):
        return name
    return f"docker.io/{name}"


def ref_name(text: str) -> str:
    """``text`` itself, when it can be a tag in an OCI layout.

    :raises UsageError: it cannot.
    """
    if not _REF_NAME.fullmatch(text):
        raise UsageError(f"cannot tag the image {text!r}: it is not a tag", "as in oci:app:1.0")
    return text
