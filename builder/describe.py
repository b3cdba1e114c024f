"""Collects the contents of the SBOM of an image, or of the image that a trace would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.image_config import newest_mtime
from slimtrace.builder.full_image import make_root, open_full_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.reference import Transport, parse_reference
from slimtrace.builder.pipeline import plan
from slimtrace.builder.root.walk import list_entries
from slimtrace.builder.sbom.checksums import Checksums
from slimtrace.builder.sbom.collect import collect_facts
from slimtrace.builder.sbom.sbom_files import collect_built_image
from slimtrace.builder.sbom.subject import find_subject_name, make_subject
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.temporary_folder import make_temporary_folder

if TYPE_CHECKING:
    from slimtrace.builder.sbom.bom import BillOfMaterials
    from slimtrace.tracer.trace.trace import Trace

_WITHOUT_MANIFEST = {Transport.DOCKER_ARCHIVE, Transport.TARBALL, Transport.ROOTFS}


@dataclass(frozen=True, slots=True)
class ImageLocation:
    """The options that find the full image of a trace.

    :ivar image: its reference now; None if it is the one that the trace names.
    """

    image: str | None = None
    source_date_epoch: int | None = None
    allow_changed: bool = False


def describe_trace(trace: Trace, where: ImageLocation) -> BillOfMaterials:
    """Collect the contents of the SBOM of the image that ``build`` makes by default.

    :raises SlimtraceError: as ``build`` does.
    """
    options = BuildOptions(
        image=where.image,
        source_date_epoch=where.source_date_epoch,
        allow_changed=where.allow_changed,
    )
    planned = plan(trace, options)
    sums = Checksums()
    with make_temporary_folder() as folder:
        image = planned.write_image(folder, sums.read)
    return collect_built_image(image, None, None, planned.selection.entries, planned.root, sums)


def describe_image(text: str, trace: Trace | None, where: ImageLocation) -> BillOfMaterials:
    """Collect the contents of the SBOM of an image, in any format that ``build`` writes.

    :param trace: the trace that it was built from, if it is known. Then the packages are read
        from the full image, whose databases are complete.
    :raises SlimtraceError: one of these cannot be read.
    """
    full = None if trace is None else open_full_image(trace, where.image).root
    opened = open_image(text)
    root = make_root(opened)
    entries = list_entries(root)
    if not entries:
        raise SlimtraceError(f"cannot describe {text}: it is empty")
    reference = parse_reference(opened.source)
    digest = None if reference.transport in _WITHOUT_MANIFEST else opened.digest
    subject = make_subject(
        find_subject_name(reference), digest, opened.config, newest_mtime(entries.values())
    )
    return collect_facts(subject, entries, Checksums(), full or root, is_full=full is not None)
