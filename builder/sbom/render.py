"""Renders an SBOM in a format, always as the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from slimtrace.builder.sbom.bom import SbomFormat

if TYPE_CHECKING:
    from slimtrace.builder.sbom.bom import BillOfMaterials


def render(facts: BillOfMaterials, chosen: SbomFormat) -> bytes:
    """Render the document. The same facts give the same bytes."""
    from slimtrace.builder.sbom import cyclonedx, spdx  # noqa: PLC0415 -- only one is needed

    make = spdx.to_spdx if chosen is SbomFormat.SPDX else cyclonedx.to_cyclonedx
    return to_bytes(make(facts))


def to_bytes(document: object) -> bytes:
    """JSON with sorted keys, indented, with a newline at the end."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(document, option=options)
