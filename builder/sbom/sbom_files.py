"""The SBOMs that a build writes beside its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from slimtrace.builder.config.image_config import newest_mtime
from slimtrace.builder.images.write.atomic import check_file, open_replacement
from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.builder.sbom.collect import collect_facts
from slimtrace.builder.sbom.render import render
from slimtrace.builder.sbom.subject import find_subject_name, make_subject
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import Entry, Image
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.sbom.bom import BillOfMaterials
    from slimtrace.builder.sbom.checksums import Checksums


class Sbom(NamedTuple):
    """A document and the path to write it to.

    :ivar attached: the digest of the artifact in the image's registry; None for none.
    """

    format: SbomFormat
    path: str
    data: bytes
    attached: str | None = None


def check_sboms(options: BuildOptions) -> None:
    """Fail before the build if an SBOM could not be written after it.

    :raises SlimtraceError: one could not, or two have the same path.
    """
    paths = [path for _, path in options.sbom]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(
                f"cannot write two SBOMs to {path}", "give each --sbom a FILE of its own"
            )
        check_file(path)


def collect_built_image(
    image: Image,
    reference: ImageReference | None,
    tag: str | None,
    entries: Mapping[str, Entry],
    root: Root,
    sums: Checksums,
) -> BillOfMaterials:
    """Collect the contents of the SBOM of an image that was built.

    :param reference: the value of ``-o``; None for an image that is not written.
    :param tag: the value of ``--tag``.
    :param root: the full image.
    :raises SlimtraceError: its package databases cannot be read.
    """
    config = orjson.loads(image.config)
    about = make_subject(
        find_subject_name(reference, tag), image.digest, config, newest_mtime(entries.values())
    )
    return collect_facts(about, entries, sums, root, is_full=True)


def render_sboms(facts: BillOfMaterials, options: BuildOptions) -> list[Sbom]:
    """Render the SBOMs in the options."""
    formats = ((SbomFormat(name), path) for name, path in options.sbom)
    return [Sbom(chosen, path, render(facts, chosen)) for chosen, path in formats]


def write_sboms(sboms: Iterable[Sbom]) -> None:
    """Write each to its path.

    :raises SlimtraceError: one cannot be written; its old file stays.
    """
    for sbom in sboms:
        with open_replacement(sbom.path) as file:
            file.write(sbom.data)
