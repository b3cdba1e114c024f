"""What both formats share: identities, and the document's one form."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from slimtrace.builder.sbom.bom import BillOfMaterials, KeptFile, SbomFormat

TOOL = "slimtrace"
LEFT_OUT = "slimtrace:left-out"
"""Names what a package has in the full image and not in this one."""
LEFT_OUT_COUNT = "slimtrace:left-out:count"


def make_uuid(facts: BillOfMaterials, chosen: SbomFormat) -> str:
    """A UUID (RFC 9562, version 5) of the image and of all that is told of it.

    Of the image alone it would be no identity: with its trace, more can be told of it.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{TOOL} {VERSION} {chosen} {facts!r}"))


def list_files(facts: BillOfMaterials) -> list[KeptFile]:
    """Every file in the image, by path."""
    of_packages = (file for component in facts.components for file in component.files)
    return sorted((*facts.files, *of_packages))
