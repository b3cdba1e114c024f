"""What a build did, for people and for ``build --json``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.model import Kind
from slimtrace.builder.root.host_root import Totals
from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from slimtrace.builder.model import Image, Selection
    from slimtrace.builder.sbom.sbom_files import Sbom


class WrittenImage(NamedTuple):
    """An image, and where it went."""

    image: Image
    destination: str


@dataclass(frozen=True, slots=True)
class BuildReport:
    """One build.

    :ivar debug: the second image, which has busybox besides.
    :ivar kept: the image's regular files; ``full`` those of the full image.
    """

    image: Image
    destination: str
    selection: Selection
    kept: Totals
    full: Totals
    sboms: tuple[Sbom, ...] = ()
    debug: WrittenImage | None = None

    @property
    def dropped(self) -> Totals:
        """The full image's files that the slim one lacks.

        Never less than none: a file that was put aside may be gone from the full image.
        """
        taken = count_kept_files(self.selection, skip_generated=True)
        return Totals(max(0, self.full.files - taken.files), max(0, self.full.size - taken.size))

    def document(self) -> dict[str, Any]:
        """The document that ``build --json`` prints."""
        told: dict[str, Any] = {}
        if self.sboms:
            told["sboms"] = [_sbom(sbom) for sbom in self.sboms]
        if self.debug is not None:
            told["debug"] = _image(self.debug)
        return {
            "image": _image(WrittenImage(self.image, self.destination)),
            "kept": {"files": self.kept.files, "bytes": self.kept.size},
            "dropped": {"files": self.dropped.files, "bytes": self.dropped.size},
            "full": {"files": self.full.files, "bytes": self.full.size},
            "reasons": count_reasons(self.selection),
            "warnings": [replace_surrogates(warning) for warning in self.selection.warnings],
            **told,
        }


def _image(written: WrittenImage) -> dict[str, Any]:
    image, layer = written.image, written.image.layer
    return {
        "digest": image.digest,
        "config_digest": image.config_digest,
        "destination": replace_surrogates(written.destination),
        "size": layer.size,
        "uncompressed": layer.uncompressed,
        "layers": [{"digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size}],
    }


def _sbom(sbom: Sbom) -> dict[str, Any]:
    file = replace_surrogates(sbom.path)
    return {"format": sbom.format, "file": file, "attached": sbom.attached}


def count_kept_files(selection: Selection, *, skip_generated: bool = False) -> Totals:
    """The selection's regular files; ``size`` in bytes, each inode once.

    :param skip_generated: without those that the build wrote.
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
    """How many entries are there for each reason, by the first that each has."""
    counts = Counter(entry.reasons[0].value for entry in selection.entries.values())
    return dict(sorted(counts.items()))
