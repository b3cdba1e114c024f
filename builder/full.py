"""The full image that the runs saw, as the builder reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from builder.defaultrun import no_run
from builder.images.base import BaseConfig
from builder.images.layered import LayeredTree
from builder.images.root import Root
from builder.sources.full import open_image
from tracer.errors import SlimtraceError
from tracer.rootless import become_root

if TYPE_CHECKING:
    from tracer.model import Run, Trace


class Full(NamedTuple):
    """Its files and its configuration."""

    root: Root
    base: BaseConfig


def full_image(trace: Trace) -> Full:
    """The root that the runs saw: with what they put aside, or as its layers have it.

    :raises SlimtraceError: the trace has no run, its runs saw different images, or the image
        cannot be read, or is another one by now.
    """
    runs = {run.image_digest or run.image: run for run in trace.runs}
    if not runs:
        raise no_run()
    if len(runs) > 1:
        names = ", ".join(sorted(run.image for run in runs.values()))
        raise SlimtraceError(
            f"cannot build from the trace: its runs saw different images ({names})",
            "build from traces of one image",
        )
    (run,) = runs.values()
    kind, _, folder = run.image.partition(":")
    if folder != "/":
        become_root()  # as the run did: files may be of other users
    if kind == "rootfs":
        return Full(Root(folder, trace.saved), BaseConfig())
    return _layered(run)


def _layered(run: Run) -> Full:
    image = open_image(run.image, digest=run.image_digest)
    if run.image_digest not in (None, image.digest):
        raise SlimtraceError(
            f"cannot build from the trace: {run.image} is {image.digest} by now, and the app ran "
            f"in {run.image_digest}",
            "trace the app again",
        )
    tree = None if image.index is None else LayeredTree(image.index)
    return Full(Root(image.root, tree=tree), BaseConfig.of(image.config))
