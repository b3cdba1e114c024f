"""Finds the image that an IMAGE without a transport names.

A path that exists is taken for what it contains. A name is searched in podman's storage, Docker's
and a registry, in that order.
"""

from __future__ import annotations

import difflib
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.images.read.image_path import explain_absence, find_path
from slimtrace.builder.images.reference import (
    FORMS,
    ImageReference,
    Transport,
    add_latest,
    canonical_name,
    find_transport,
    guess_reference,
    is_image_name,
    looks_like_path,
    make_hint,
    parse_reference,
    split_name,
)
from slimtrace.builder.images.skopeo import run_skopeo, tls_options
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SECONDS = 60
_REGISTRY_SECONDS = 30
_LOCAL = "localhost/"


def find_reference(text: str) -> ImageReference:
    """Find the image that a text names, with or without a transport; say what was taken.

    :raises UsageError: it is not an image reference.
    :raises SlimtraceError: there is no such image.
    """
    transport = find_transport(text)
    if transport is not None and transport is not Transport.ARCHIVE:
        return parse_reference(text)
    found = find_path(text) if text else None
    if found is not None:
        if found.transport is not Transport.ARCHIVE:
            say(f"using {found}")
        return found
    if looks_like_path(text):
        raise explain_absence(text)
    if not is_image_name(text):
        raise UsageError(f"cannot read {text!r}: it is not an image reference", make_hint(text))
    return _find_name(text)


def add_transport(text: str | None) -> str | None:
    """Add the transport to a reference without one, so that it is searched and said once.

    :raises SlimtraceError: as :func:`find_reference` does.
    """
    if text is None or find_transport(text) is not None:
        return text
    return str(find_reference(text).absolute())


class _Search(NamedTuple):
    """The result of a look into one store.

    :ivar name: the image's full name there; None where it is not there.
    :ivar why: why not, as a clause.
    :ivar others: names of images that are there.
    """

    name: str | None
    why: str = ""
    others: tuple[str, ...] = ()


def _find_name(text: str) -> ImageReference:
    searches: list[tuple[Transport, Callable[[str], _Search]]] = [
        (Transport.CONTAINERS_STORAGE, _search_podman),
        (Transport.DOCKER_DAEMON, _search_docker),
    ]
    guess = guess_reference(text)
    if guess is None:  # a mistyped transport is no repository of a registry
        searches.append((Transport.REGISTRY, _search_registry))
    results = []
    for transport, search in searches:
        result = search(text)
        if result.name is not None:
            found = ImageReference(transport, "", result.name)
            say(f"using {found}")
            return found
        results.append(result)
    near = [] if guess is None else [guess]
    near += _find_near(text, (name for result in results for name in result.others))
    causes = "; ".join(["there is no such path", *(result.why for result in results)])
    hint = f"did you mean {' or '.join(near)}?" if near else f"name it with its transport:\n{FORMS}"
    raise SlimtraceError(f"cannot find the image {text!r}: {causes}", hint)


def _search_podman(text: str) -> _Search:
    if shutil.which("podman") is None:
        return _Search(None, "podman is not installed")
    argv = ["podman", "images", "--noheading", "--format", "{{.Repository}}:{{.Tag}}"]
    try:
        done = subprocess.run(
            argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return _Search(None, "podman does not answer")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"]
        return _Search(None, f"podman: {lines[-1]}")
    names = [name for name in done.stdout.decode().split() if "<none>" not in name]
    found = choose_name(text, names)
    if found is None and "@" in text:
        found = _find_digest(canonical_name(text))
    return _Search(found, "podman's storage does not have it", tuple(names))


def choose_name(text: str, names: Iterable[str]) -> str | None:
    """Choose the stored name that podman would take a short one for (podman-run(1), "Image").

    The same name; below ``localhost/``; in docker's registry; else in the only other registry.
    """
    requested = add_latest(text)
    stored = [*names]
    for candidate in (requested, f"{_LOCAL}{requested}", canonical_name(requested)):
        if candidate in stored:
            return candidate
    below = [name for name in stored if name.endswith(f"/{requested}")]
    return below[0] if len(below) == 1 else None


def _search_docker(text: str) -> _Search:
    from slimtrace.builder.images.docker_client import DockerClient  # noqa: PLC0415 -- ssl takes its time

    try:
        client = DockerClient("docker")
        if client.find_id(text) is not None:
            return _Search(add_latest(text))
        return _Search(None, "Docker does not have it", tuple(client.list_names()))
    except SlimtraceError as error:
        return _Search(None, error.message.removeprefix("docker: "))


def _search_registry(text: str) -> _Search:
    name = canonical_name(text)
    if shutil.which("skopeo") is None:
        host = name.partition("/")[0]
        return _Search(None, f"skopeo, which would ask {host}, is not installed")
    reference = ImageReference(Transport.REGISTRY, "", name)
    try:
        argv = ["--command-timeout", f"{_REGISTRY_SECONDS}s", "inspect", "--raw"]
        run_skopeo([*argv, *tls_options(reference), str(reference)], "registry")
    except SlimtraceError as error:
        return _Search(None, error.message.removeprefix("registry: "))
    return _Search(name)


def _find_digest(name: str) -> str | None:
    """A name with a digest, if podman's storage has it: ``podman images`` lists no digests."""
    if shutil.which("skopeo") is None:
        return None
    try:
        run_skopeo(["inspect", "--raw", f"{Transport.CONTAINERS_STORAGE.prefix}{name}"], name)
    except SlimtraceError:
        return None
    return name


def _find_near(text: str, names: Iterable[str]) -> list[str]:
    """Names like a mistyped one: whole, or without their registry and their tag."""
    repository = split_name(text).repository.rpartition("/")[2]
    wanted: dict[str, str] = {}
    for name in names:
        wanted.setdefault(name, name)
        wanted.setdefault(split_name(name).repository.rpartition("/")[2], name)
    near = [
        *difflib.get_close_matches(add_latest(text), wanted, 3, 0.7),
        *difflib.get_close_matches(repository, wanted, 3, 0.7),
    ]
    return list(dict.fromkeys(wanted[each] for each in near))[:3]
