"""The directories at which engines mount the image's volumes (image-spec config.md, Volumes)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.model import BuildPart, Cause, Kind, Reason, Seed
from slimtrace.builder.root.excluded_paths import find_exclusion_reason

if TYPE_CHECKING:
    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection


def add_declared_volumes(selection: Selection, context: Context) -> Selection:
    """Add the full image's directory of each volume, also if no run touched it.

    An engine gives a new volume the owner and mode of this directory. Without it the volume is
    root's, and the app cannot write there.
    """
    root = context.root
    cause = Cause(Reason.VOLUME, BuildPart("volume"))
    seeds = []
    for path in context.volumes:
        found = root.resolve(path)
        is_folder = found.exists and root.kind(found.path) is Kind.DIRECTORY
        if is_folder and find_exclusion_reason(root, found.path) is None:
            seeds.append(Seed(path, cause))
    return replace(selection, seeds=(*selection.seeds, *seeds))
