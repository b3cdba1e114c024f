"""SBOMs, validated by their formats' own libraries, and in a form to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

if TYPE_CHECKING:
    from pathlib import Path


def read_spdx(path: Path | str) -> dict[str, Any]:
    """Read an SPDX document that spdx-tools finds valid."""
    errors = validate_full_spdx_document(parse_from_file(str(path)))
    assert [message.validation_message for message in errors] == []
    return _read(path)


def read_cyclonedx(path: Path | str) -> dict[str, Any]:
    """Read a CycloneDX document that cyclonedx-python-lib finds valid."""
    with open(path) as file:
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read()) is None
    return _read(path)


def _read(path: Path | str) -> dict[str, Any]:
    with open(path, "rb") as file:
        document = orjson.loads(file.read())
    assert isinstance(document, dict)
    return document


def describe_spdx(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Map package names (``image``: the image) to purl, files' SHA-256 and files left out."""
    files = {
        file["SPDXID"]: (file["fileName"][1:], _sums(file)["SHA256"]) for file in document["files"]
    }
    contained: dict[str, dict[str, str]] = {}
    for relation in document["relationships"]:
        if relation["relatedSpdxElement"] in files:
            path, digest = files[relation["relatedSpdxElement"]]
            contained.setdefault(relation["spdxElementId"], {})[path] = digest
    found = {}
    for package in document["packages"]:
        is_image = package["SPDXID"] == "SPDXRef-Image"
        left_out = None
        for annotation in package.get("annotations", ()):
            key, _, text = annotation["comment"].partition(" ")
            assert key == "slimtrace:left-out"
            left_out = orjson.loads(text)
            assert left_out["count"] == len(left_out["files"])
        name = "image" if is_image else package["name"]
        found[name] = {
            "purl": package["externalRefs"][0]["referenceLocator"],
            "files": contained.get(package["SPDXID"], {}),
            "left out": left_out and left_out["files"],
        }
    return found


def describe_cyclonedx(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Map a CycloneDX document to the form of :func:`describe_spdx`."""
    image = document["metadata"]["component"]
    loose = [each for each in document["components"] if each["type"] == "file"]
    found = {"image": {"purl": image["purl"], "files": _files(loose), "left out": None}}
    for each in document["components"]:
        if each["type"] != "library":
            continue
        properties: dict[str, list[str]] = {}
        for pair in each.get("properties", ()):
            properties.setdefault(pair["name"], []).append(pair["value"])
        left_out = None
        if "slimtrace:left-out:count" in properties:
            left_out = properties.get("slimtrace:left-out", [])
            assert properties["slimtrace:left-out:count"] == [str(len(left_out))]
        files = _files(each.get("components", []))
        found[each["name"]] = {"purl": each["purl"], "files": files, "left out": left_out}
    return found


def _files(components: list[dict[str, Any]]) -> dict[str, str]:
    hashes = {each["name"]: {h["alg"]: h["content"] for h in each["hashes"]} for each in components}
    return {name: found["SHA-256"] for name, found in hashes.items()}


def _sums(file: dict[str, Any]) -> dict[str, str]:
    return {each["algorithm"]: each["checksumValue"] for each in file["checksums"]}
