"""The result of a build, for the terminal and for ``build --json``."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.config.dockerfile import add_line, copy_line, render_dockerfile
from slimtrace.builder.images.reference import Transport, parse_reference
from slimtrace.builder.model import Kind
from slimtrace.builder.root.host_root import Totals
from slimtrace.builder.run_command import choose_engine, make_run_command
from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import Image, Selection
    from slimtrace.builder.sbom.sbom_files import Sbom
    from slimtrace.builder.suggest.rank import Suggestion

MAX_OMISSIONS = 5
"""How many lines say what may be lacking. More nobody reads after each build."""


class WrittenImage(NamedTuple):
    """An image and its destination.

    :ivar destination: its reference as text.
    :ivar reference: the same, with the image's name, for which some forms have no place.
    """

    image: Image
    destination: str
    reference: ImageReference


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of one build.

    :ivar kept: number and size of the image's regular files.
    :ivar full: number and size of the full image's regular files.
    :ivar debug: the second image, with busybox.
    :ivar source: the full image's reference.
    :ivar omissions: what the image is likely to lack, the likeliest first.
    """

    written: WrittenImage
    selection: Selection
    kept: Totals
    full: Totals
    sboms: tuple[Sbom, ...] = ()
    debug: WrittenImage | None = None
    source: str | None = None
    omissions: tuple[Suggestion, ...] = ()

    @property
    def likely_omissions(self) -> tuple[Suggestion, ...]:
        """Those that a build says."""
        return self.omissions[:MAX_OMISSIONS]

    @property
    def run_command(self) -> str:
        """A line of shell that runs the image."""
        reference, image, engine = self.written.reference, self.written.image, self._engine
        return make_run_command(reference, image, engine)

    @property
    def shell_command(self) -> str | None:
        """A line of shell that looks into the second image; None where there is none."""
        if self.debug is None:
            return None
        options = ("-it", "--entrypoint", "/busybox/sh")
        return make_run_command(self.debug.reference, self.debug.image, self._engine, options)

    @property
    def _engine(self) -> str:
        return choose_engine(self.written.reference, self.source)

    @property
    def kept_of_full(self) -> Totals:
        """Number and size of the full image's files that are in the slim one.

        Those that the build made do not count: else more may be kept than there were.
        """
        full, dropped = self.full, self.dropped
        return Totals(full.files - dropped.files, full.size - dropped.size)

    @property
    def dropped(self) -> Totals:
        """Number and size of the full image's files that are not in the slim one.

        Never negative: a file with a saved copy may no longer be in the full image.
        """
        kept = count_kept_files(self.selection, skip_generated=True)
        return Totals(max(0, self.full.files - kept.files), max(0, self.full.size - kept.size))

    def dockerfile(self) -> tuple[str, ...]:
        """Lines of a Dockerfile that make the image of a tree; none if the image is whole."""
        written = parse_reference(self.written.destination)
        match written.transport:
            case Transport.ROOTFS:
                source = copy_line(os.path.abspath(written.location))
            case Transport.TARBALL:
                source = add_line(os.path.basename(written.location))
            case _:
                return ()
        return render_dockerfile(self.written.image.config, source)

    def document(self) -> dict[str, Any]:
        """Make the document that ``build --json`` prints."""
        optional: dict[str, Any] = {}
        if self.selection.notes:
            optional["notes"] = [replace_surrogates(note) for note in self.selection.notes]
        if self.omissions:
            optional["suggestions"] = [each.document() for each in self.likely_omissions]
        if self.sboms:
            optional["sboms"] = [_sbom_document(sbom) for sbom in self.sboms]
        if dockerfile := self.dockerfile():
            optional["dockerfile"] = [replace_surrogates(line) for line in dockerfile]
        if self.debug is not None:
            optional["debug"] = _image_document(self.debug)
        return {
            "image": _image_document(self.written),
            "kept": {"files": self.kept.files, "bytes": self.kept.size},
            "dropped": {"files": self.dropped.files, "bytes": self.dropped.size},
            "full": {"files": self.full.files, "bytes": self.full.size},
            "reasons": count_reasons(self.selection),
            "warnings": [replace_surrogates(warning) for warning in self.selection.warnings],
            **optional,
        }


def _image_document(written: WrittenImage) -> dict[str, Any]:
    image, layer = written.image, written.image.layer
    return {
        "digest": image.digest,
        "config_digest": image.config_digest,
        "destination": replace_surrogates(written.destination),
        "name": written.reference.name,
        "size": layer.size,
        "uncompressed": layer.uncompressed,
        "layers": [{"digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size}],
    }


def _sbom_document(sbom: Sbom) -> dict[str, Any]:
    file = replace_surrogates(sbom.path)
    return {"format": sbom.format, "file": file, "attached": sbom.attached}


def count_kept_files(selection: Selection, *, skip_generated: bool = False) -> Totals:
    """Count the selection's regular files, and their bytes. The bytes of an inode count once.

    :param skip_generated: do not count files that the build made.
    """
    files = size = 0
    linked: set[tuple[int, int]] = set()
    for entry in selection.entries.values():
        if entry.kind is not Kind.FILE or (skip_generated and entry.content is not None):
            continue
        files += 1
        if entry.hardlink is None or entry.hardlink not in linked:
            size += entry.size
        if entry.hardlink is not None:
            linked.add(entry.hardlink)
    return Totals(files, size)


def count_reasons(selection: Selection) -> dict[str, int]:
    """Count the entries by their first reason."""
    counts = Counter(entry.reasons[0].value for entry in selection.entries.values())
    return dict(sorted(counts.items()))
