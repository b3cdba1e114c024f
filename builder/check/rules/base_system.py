"""Files that every image should have, whatever its app does."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from slimtrace.builder.check.executable import has_permission
from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    everywhere,
    fails,
    passes,
    skips,
)
from slimtrace.builder.model import Kind
from slimtrace.builder.root.os_release import OS_RELEASE_PATHS, parse_os_release

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.builder.check.target_platform import TargetPlatform

_TMP = "/tmp"  # noqa: S108 -- the image's
_TMP_MODE = 0o1777
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)  # crypto/x509/root_linux.go lists them
_MAX_RELEASE_BYTES = 1 << 12
_WRITE = 2


def _check_tmp(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    found = facts.root.resolve(_TMP)
    there = facts.root.fingerprint(found.path) if found.exists else None
    if there is None or not stat.S_ISDIR(there.mode):
        return fails("there is no /tmp")
    mode = stat.S_IMODE(there.mode)
    if mode != _TMP_MODE:
        return fails(f"{_TMP} is {mode:04o}", (found.path,))
    return passes(f"{_TMP} is 1777")


def _check_certificates(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    configured = facts.env.get("SSL_CERT_FILE")
    for path in [configured] if configured else _BUNDLES:
        found = facts.root.resolve(path)
        entry = facts.entries.get(found.path) if found.exists else None
        if entry is not None and entry.size:
            return passes(f"{path} is there")
    return fails(f"there is no {configured or 'bundle of certificate authorities'}")


def _check_os_release(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    for path in OS_RELEASE_PATHS:
        found = facts.root.resolve(path)
        if found.exists and facts.root.kind(found.path) is Kind.FILE:
            fields = parse_os_release(facts.root.text(path, _MAX_RELEASE_BYTES))
            name = fields.get("PRETTY_NAME", fields.get("ID"))
            return passes(f"{path} says {name}" if name else f"{path} is there")
    return fails("there is no os-release: a scanner would find no distribution, and no packages")


def _check_volumes(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    volumes = facts.get_keys("Volumes")
    if not volumes:
        return skips("it declares no volume")
    closed = tuple(path for path in volumes if not _is_writable(facts, path))
    if closed:
        return fails(f"its user may not write to {', '.join(closed)}", closed)
    return passes(f"its user may write to {', '.join(volumes)}")


def _is_writable(facts: ImageFacts, path: str) -> bool:
    found = facts.root.resolve(path)
    return found.exists and has_permission(facts, found.path, _WRITE)


RULES = (
    CheckRule(
        "tmp",
        everywhere(Severity.WARN, knative=Severity.FAIL),  # knative's runtime contract, "Mounts"
        "There is a /tmp in which any user may create files.",
        "make it in the full image: install -d -m 1777 /tmp",
        _check_tmp,
    ),
    CheckRule(
        "ca-certificates",
        everywhere(Severity.WARN),
        "It trusts the usual certificate authorities.",
        "install ca-certificates in the full image",
        _check_certificates,
    ),
    CheckRule(
        "os-release",
        everywhere(Severity.WARN),
        "Scanners can tell which distribution it is built from.",
        "build it without --no-package-metadata",
        _check_os_release,
    ),
    CheckRule(
        "volumes-writable",
        everywhere(Severity.WARN),
        "Its user may write to the volumes that it declares.",
        "build it with --grant-write, or give the folder to its user in the full image",
        _check_volumes,
    ),
)
