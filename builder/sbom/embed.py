"""Adds an image's SBOM to the image itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from slimtrace.builder.edit import add_entries, make_file
from slimtrace.builder.model import BuildPart, Cause, Reason
from slimtrace.builder.sbom.bom import SbomFormat, Subject
from slimtrace.builder.sbom.collect import collect_facts
from slimtrace.builder.sbom.render import render
from slimtrace.builder.sbom.subject import NAMELESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Entry, ImageConfig, Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.sbom.checksums import Checksums

FOLDER = "/usr/share/sbom"
"""Scanners recognise SBOMs by the suffixes of their names, in any folder."""


def embed_sboms(
    selection: Selection, formats: Iterable[str], root: Root, config: ImageConfig, sums: Checksums
) -> Selection:
    """Add SBOMs to the selection. They describe all other files, without name and digest.

    The image's digest covers them, and must not depend on where the image is pushed.

    :param root: the full image.
    :raises SlimtraceError: a package database or a file cannot be read.
    """
    chosen = [SbomFormat(name) for name in dict.fromkeys(formats)]
    if not chosen:
        return selection
    about = Subject(NAMELESS, None, None, config.created)
    facts = collect_facts(about, selection.entries, sums, root, is_full=True)
    mtime_ns = int(datetime.fromisoformat(config.created).timestamp()) * 10**9
    place = root.resolve(FOLDER).path
    cause = Cause(Reason.SBOM, BuildPart("--embed-sbom"))
    added: list[Entry] = []
    for each in chosen:
        data = render(facts, each)
        path = f"{place}/{NAMELESS}{each.suffix}"
        added += make_file(root, path, data, cause, mtime_ns)
    return add_entries(selection, root, added)
