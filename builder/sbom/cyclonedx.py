"""CycloneDX 1.6 as JSON (cyclonedx.org/docs/1.6/json).

The image is the described component; packages have their kept files as components.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.builder.sbom.identity import LEFT_OUT, LEFT_OUT_COUNT, TOOL, make_uuid
from slimtrace.tracer.text import replace_surrogates
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from slimtrace.builder.sbom.bom import (
        BillOfMaterials,
        Component,
        Distribution,
        KeptFile,
        Subject,
    )

_IMAGE = "image"
_SYSTEM = "operating-system"


def to_cyclonedx(facts: BillOfMaterials) -> dict[str, Any]:
    """The document as JSON objects."""
    seen: Counter[str] = Counter()
    components = [_component(component, seen) for component in facts.components]
    names = [component["bom-ref"] for component in components]
    system = [_system(facts.distribution)] if facts.distribution else []
    files = [_file(file) for file in facts.files]
    tool = {"type": "application", "name": TOOL, "version": VERSION}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{make_uuid(facts, SbomFormat.CYCLONEDX)}",
        "metadata": {
            "timestamp": facts.subject.created,
            "tools": {"components": [tool]},
            "component": _image(facts.subject),
        },
        "components": [*system, *components, *files],
        "dependencies": [
            {"ref": _IMAGE, "dependsOn": [*(each["bom-ref"] for each in system), *names]},
            *({"ref": name} for name in names),
        ],
    }


def _image(subject: Subject) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "container", "bom-ref": _IMAGE, "name": subject.name}
    if subject.digest is not None:
        found["version"] = subject.digest
        hashed = {"alg": "SHA-256", "content": subject.digest.partition(":")[2]}
        found |= {"purl": subject.purl, "hashes": [hashed]}
    return found


def _system(distribution: Distribution) -> dict[str, Any]:
    return {
        "type": _SYSTEM,
        "bom-ref": _SYSTEM,
        "name": distribution.id,
        **({"version": distribution.version} if distribution.version else {}),
        "description": distribution.name,
    }


def _component(component: Component, seen: Counter[str]) -> dict[str, Any]:
    """A package. Two copies of one version, as npm installs them, get distinct references."""
    package, purl = component.package, component.purl
    seen[purl] += 1
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl if seen[purl] == 1 else f"{purl}#{seen[purl]}",
        "name": replace_surrogates(package.name),
        "version": replace_surrogates(package.version),
        "purl": purl,
    }
    if properties := _properties(component):
        found["properties"] = [{"name": name, "value": value} for name, value in properties]
    if component.files:
        found["components"] = [_file(file) for file in component.files]
    return found


def _properties(component: Component) -> list[tuple[str, str]]:
    package = component.package
    found = []
    if package.source not in {"", package.name}:
        source = replace_surrogates(f"{package.source} {package.source_version}")
        found.append(("slimtrace:source-package", source))
    if component.left_out is not None:
        found.append((LEFT_OUT_COUNT, str(len(component.left_out))))
        found += [(LEFT_OUT, path) for path in component.left_out]
    return found


def _file(file: KeptFile) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{file.path}",
        "name": file.path,
        "hashes": [
            {"alg": "SHA-1", "content": file.sha1},
            {"alg": "SHA-256", "content": file.sha256},
        ],
    }
