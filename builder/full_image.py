"""Opens the full image in which the runs were traced."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.config.image_config import no_run_error
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.read.image_path import find_path
from slimtrace.builder.images.reference import Transport, find_transport, parse_reference
from slimtrace.builder.root.base_config import BaseConfig
from slimtrace.builder.root.layered_root import LayeredTree
from slimtrace.builder.root.root import Root
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox.rootless import become_root

if TYPE_CHECKING:
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.tracer.trace.trace import Run, Trace


_MOVED_HINT = "if it has moved, name it with --image"


class OpenedRoot(NamedTuple):
    """A full image's files and configuration."""

    root: Root
    base: BaseConfig
    warnings: tuple[Caution, ...] = ()


def needs_root(trace: Trace, image: str | None = None) -> bool:
    """Whether the full image needs root: it is not this machine's root directory.

    Its files can belong to other users, and the run became root for it too.

    :param image: as for :func:`open_full_image`.
    :raises UsageError: a reference cannot be parsed.
    """
    if image is None:
        runs = _distinguish_images(trace)
        if len(runs) != 1:
            return False  # it cannot be opened
        image = next(iter(runs.values())).image
    return not _is_own_root(image)


def find_source(trace: Trace, image: str | None) -> str | None:
    """The full image's reference, as far as it is known before the image is opened.

    :param image: as for :func:`open_full_image`.
    """
    if image is not None:
        return image if find_transport(image) is not None else None
    images = {run.image for run in trace.runs}
    return images.pop() if len(images) == 1 else None


def become_root_for(trace: Trace, image: str | None = None) -> None:
    """Become root if the full image needs it. Commands call it, before they open the image.

    Where the system forbids it, files that this user unpacks and then cannot read are an error
    later.

    :param image: as for :func:`open_full_image`.
    """
    if needs_root(trace, image):
        with suppress(SlimtraceError):
            become_root()


def _distinguish_images(trace: Trace) -> dict[str, Run]:
    """A run in each image, by the image's digest, or by its reference if it has none."""
    return {run.image_digest or run.image: run for run in trace.runs}


def _is_own_root(text: str) -> bool:
    is_typed = find_transport(text) not in {None, Transport.ARCHIVE}
    reference = parse_reference(text) if is_typed else find_path(text)
    if reference is None or reference.transport is not Transport.ROOTFS:
        return False
    return os.path.abspath(reference.location) == "/"


def open_full_image(trace: Trace, image: str | None = None) -> OpenedRoot:
    """Open the full image of the runs, with the copies that they saved.

    :param image: its present reference; None for the reference in the trace. Required for runs in
        different images: the user then chooses one.
    :raises SlimtraceError: the trace has no run, its runs used different images, or the image
        cannot be read or has another digest now.
    """
    runs = _distinguish_images(trace)
    if not runs:
        raise no_run_error()
    if image is not None:
        return _open_named(trace, image)
    if len(runs) > 1:
        names = ", ".join(sorted(run.image for run in runs.values()))
        raise SlimtraceError(
            f"cannot build from the trace: its runs used different images ({names})",
            "build from traces of one image, or name one with the files of all with --image",
        )
    (run,) = runs.values()
    reference = parse_reference(run.image)
    folder = reference.location
    if reference.transport is Transport.ROOTFS:
        if not os.path.isdir(folder):
            raise SlimtraceError(
                f"cannot read the full image {folder}: it is not a directory", _MOVED_HINT
            )
        return OpenedRoot(Root(folder, trace.saved), BaseConfig())
    return _open_recorded(run)


def _open_named(trace: Trace, text: str) -> OpenedRoot:
    """Open the image that the user names. It must have the digest that the runs recorded."""
    image = None if _is_own_root(text) else open_image(text)
    digest = None if image is None else image.digest
    digests = {run.image_digest for run in trace.runs}
    recorded = digests - {None}
    warnings: tuple[Caution, ...] = ()
    if len(_distinguish_images(trace)) > 1:
        others = ", ".join(sorted(each for each in recorded if each and each != digest))
        if others:
            fact = f"{text} is not the image of all runs: some ran in {others}"
            warnings = (Caution(fact, "check that it has the files of all of them"),)
    elif recorded and digest not in recorded:
        is_now = f"is {digest}" if digest else "is a plain tree without a digest"
        ran_in = ", ".join(map(str, digests))
        raise SlimtraceError(
            f"cannot build from {text}: it {is_now}, and the app ran in {ran_in}",
            "name the image that the app ran in, or trace the app again",
        )
    if image is not None and image.index is not None:
        return _from_image(image)._replace(warnings=warnings)
    folder = "/" if image is None else image.root
    return OpenedRoot(Root(folder, trace.saved), BaseConfig(), warnings)


def _open_recorded(run: Run) -> OpenedRoot:
    try:
        image = open_image(run.image, digest=run.image_digest)
    except SlimtraceError as error:
        hint = f"{error.hint}; or {_MOVED_HINT}" if error.hint else _MOVED_HINT
        raise SlimtraceError(error.message, hint) from error
    if run.image_digest not in (None, image.digest):
        raise SlimtraceError(
            f"cannot build from the trace: {run.image} is {image.digest} now, and the app ran "
            f"in {run.image_digest}",
            f"trace the app again; or {_MOVED_HINT}",
        )
    return _from_image(image)


def make_root(image: FullImage) -> Root:
    """Make the root of an image, with the metadata of its layers if it has any."""
    tree = None if image.index is None else LayeredTree(image.index)
    return Root(image.root, tree=tree)


def _from_image(image: FullImage) -> OpenedRoot:
    return OpenedRoot(make_root(image), BaseConfig.of(image.config))
