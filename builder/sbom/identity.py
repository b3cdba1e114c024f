"""What both formats share: names, the document's UUID, and the list of files."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from slimtrace.builder.sbom.bom import BillOfMaterials, KeptFile, SbomFormat

TOOL = "slimtrace"
LEFT_OUT = "slimtrace:left-out"
"""Property of a file that a package has only in the full image."""
LEFT_OUT_COUNT = "slimtrace:left-out:count"


def make_uuid(facts: BillOfMaterials, chosen: SbomFormat) -> str:
    """A UUID (RFC 9562, version 5) of the whole document.

    The image alone does not identify it: with its trace, the document has more contents.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{TOOL} {VERSION} {chosen} {facts!r}"))


def list_files(facts: BillOfMaterials) -> list[KeptFile]:
    """Every file in the image, by path."""
    of_packages = (file for component in facts.components for file in component.files)
    return sorted((*facts.files, *of_packages))
