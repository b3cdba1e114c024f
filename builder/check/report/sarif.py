"""A check for CI: the broken rules as SARIF 2.1.0 (OASIS), with notes on the skipped ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from slimtrace.builder.check.inspection import FindingStatus, Severity
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import CheckReport, CheckRule, Finding

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {FindingStatus.WARN: "warning", FindingStatus.FAIL: "error"}
_BASE = "IMAGE"


def to_sarif(report: CheckReport) -> dict[str, Any]:
    """The log file, with one run.

    Rules that pass give no result: services that read SARIF, such as GitHub's code scanning,
    would show them as alerts.
    """
    names = [rule.name for rule in report.rules]
    broken = [finding for finding in report.findings if finding.is_broken]
    skipped = [finding for finding in report.findings if finding.status is FindingStatus.SKIP]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "slimtrace",
                        "semanticVersion": VERSION,
                        "rules": [_rule(rule) for rule in report.rules],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            _notification(finding, names) for finding in skipped
                        ],
                    }
                ],
                "originalUriBaseIds": {
                    _BASE: {"description": {"text": f"The root of the image {report.image}."}}
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    result
                    for finding in broken
                    for result in _results(finding, names, report.image)
                ],
                "properties": {
                    "image": report.image,
                    "digest": report.digest,
                    "platforms": [*report.platforms],
                    "passed": report.passed,
                },
            }
        ],
    }


def _rule(rule: CheckRule) -> dict[str, Any]:
    is_fatal = Severity.FAIL in rule.levels.values()
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.proves},
        "help": {"text": f"{rule.remedy[0].upper()}{rule.remedy[1:]}."},
        "defaultConfiguration": {"level": "error" if is_fatal else "warning"},
        "properties": {
            "measured": rule.start is not None,
            "platforms": {str(platform): level for platform, level in rule.levels.items()},
        },
    }


def _results(finding: Finding, names: list[str], image: str) -> list[dict[str, Any]]:
    """One result for each file, or one for the image."""
    return [
        {
            "ruleId": finding.rule.name,
            "ruleIndex": names.index(finding.rule.name),
            "kind": "fail",
            "level": _LEVELS[finding.status],
            "message": {"text": _message(finding)},
            "locations": [_location(path, image)],
            "partialFingerprints": {"rulePath/v1": f"{finding.rule.name}:{_uri(path or '/')}"},
            "properties": {
                "measured": finding.is_measured,
                "platforms": [*finding.platforms],
                "remedy": finding.rule.remedy,
            },
        }
        for path in finding.result.paths or (None,)
    ]


def _message(finding: Finding) -> str:
    lines = "".join(f"\n  {line}" for line in finding.result.lines)
    detail = finding.result.detail
    measured = " (measured)" if finding.is_measured else ""
    return f"{detail[0].upper()}{detail[1:]}{measured}.{lines}\nRemedy: {finding.rule.remedy}."


def _location(path: str | None, image: str) -> dict[str, Any]:
    where = {"uri": _uri(image)}
    if path is not None:
        where = {"uri": _uri(path.lstrip("/")), "uriBaseId": _BASE}
    kind = "module" if path is None else "resource"
    return {
        "physicalLocation": {"artifactLocation": where},
        "logicalLocations": [{"fullyQualifiedName": _text(path or image), "kind": kind}],
    }


def _notification(finding: Finding, names: list[str]) -> dict[str, Any]:
    name = finding.rule.name
    return {
        "level": "note",
        "message": {"text": f"{name} was skipped: {finding.result.detail}."},
        "associatedRule": {"id": name, "index": names.index(name)},
    }


def _uri(path: str) -> str:
    """A path as a relative reference (RFC 3986), its colons quoted: they would end a scheme."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")


def _text(path: str) -> str:
    return path.encode("utf-8", "replace").decode()
