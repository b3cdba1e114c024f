"""SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3; its schema, schemas/spdx-schema.json).

The image is a package that contains packages and files; a package contains its kept files.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.builder.sbom.identity import LEFT_OUT, TOOL, list_files, make_uuid
from slimtrace.tracer.text import replace_surrogates
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slimtrace.builder.sbom.bom import BillOfMaterials, Component, KeptFile, Subject

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
_NONE = "NOASSERTION"
_CREATOR = f"Tool: {TOOL}-{VERSION}"
_UNFIT = re.compile(r"[^a-zA-Z0-9.-]+")


def to_spdx(facts: BillOfMaterials) -> dict[str, Any]:
    """The document as JSON objects."""
    subject = facts.subject
    packages = [_image(facts)]
    relations = [_relation(_DOCUMENT, "DESCRIBES", _IMAGE)]
    relations += _contains(_IMAGE, facts.files)
    for number, component in enumerate(facts.components, start=1):
        name = f"SPDXRef-Package-{_to_identifier(component.package.name)}-{number}"
        packages.append(_package(component, name, subject.created))
        relations.append(_relation(_IMAGE, "CONTAINS", name))
        relations += _contains(name, component.files)
    unique = make_uuid(facts, SbomFormat.SPDX)
    return {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": _DOCUMENT,
        "dataLicense": "CC0-1.0",
        "name": subject.name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{TOOL}-{_to_identifier(subject.name)}-{unique}",
        "creationInfo": {"created": subject.created, "creators": [_CREATOR]},
        "documentDescribes": [_IMAGE],
        "packages": packages,
        "files": [_file(file) for file in list_files(facts)],
        "relationships": relations,
    }


def _image(facts: BillOfMaterials) -> dict[str, Any]:
    subject = facts.subject
    return {
        **_package_fields(subject.name, _IMAGE, list_files(facts)),
        "primaryPackagePurpose": "CONTAINER",
        **_version_and_sum(subject),
        **_purl(subject.purl),
        **({"comment": facts.distribution.name} if facts.distribution else {}),
    }


def _version_and_sum(subject: Subject) -> dict[str, Any]:
    if subject.digest is None:
        return {}
    value = subject.digest.partition(":")[2]
    checksum = {"algorithm": "SHA256", "checksumValue": value}
    return {"versionInfo": subject.digest, "checksums": [checksum]}


def _package(component: Component, name: str, created: str) -> dict[str, Any]:
    package = component.package
    found = {
        **_package_fields(replace_surrogates(package.name), name, component.files),
        "versionInfo": replace_surrogates(package.version),
        **_purl(component.purl),
    }
    if package.source not in {"", package.name}:
        source = replace_surrogates(f"{package.source} {package.source_version}")
        found["sourceInfo"] = f"built from the source package {source}"
    if component.left_out is not None:
        left_out = {"count": len(component.left_out), "files": component.left_out}
        found["annotations"] = [
            {
                "annotationDate": created,
                "annotationType": "OTHER",
                "annotator": _CREATOR,
                "comment": f"{LEFT_OUT} {orjson.dumps(left_out).decode()}",
            }
        ]
    return found


def _package_fields(name: str, spdx_id: str, files: Sequence[KeptFile]) -> dict[str, Any]:
    """The fields of a package. Its verification code (section 7.9) covers its kept files."""
    code = hashlib.sha1(
        "".join(sorted(file.sha1 for file in files)).encode(), usedforsecurity=False
    )
    verified = {"packageVerificationCode": {"packageVerificationCodeValue": code.hexdigest()}}
    return {
        "SPDXID": spdx_id,
        "name": name,
        "downloadLocation": _NONE,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
        "supplier": _NONE,
        "filesAnalyzed": bool(files),
        **(verified if files else {}),
    }


def _purl(purl: str | None) -> dict[str, Any]:
    if purl is None:
        return {}
    reference = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }
    return {"externalRefs": [reference]}


def _file(file: KeptFile) -> dict[str, Any]:
    return {
        "SPDXID": _file_id(file),
        "fileName": f".{file.path}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": file.sha1},
            {"algorithm": "SHA256", "checksumValue": file.sha256},
        ],
        "licenseConcluded": _NONE,
        "copyrightText": _NONE,
    }


def _file_id(file: KeptFile) -> str:
    return f"SPDXRef-File-{hashlib.sha256(file.path.encode()).hexdigest()[:24]}"


def _contains(whole: str, files: Iterable[KeptFile]) -> list[dict[str, str]]:
    return [_relation(whole, "CONTAINS", _file_id(file)) for file in files]


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _to_identifier(name: str) -> str:
    """The name with characters replaced that an SPDX identifier cannot have (section 3.2)."""
    return _UNFIT.sub("-", name)
