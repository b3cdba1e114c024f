"""Files that help an attacker and that the app does not need: shells, package managers, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    everywhere,
    fails,
    passes,
)
from slimtrace.builder.model import Kind, Selection
from slimtrace.builder.policy.secrets import find_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.builder.check.target_platform import TargetPlatform

_PROGRAM_FOLDERS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
_SHELLS = """
    sh ash bash csh dash fish ksh mksh tcsh yash zsh busybox toybox
""".split()  # noqa: SIM905 -- a list of words
_PACKAGE_MANAGERS = """
    apk apt apt-get aptitude dnf dnf5 dpkg gem microdnf npm opkg pacman pip pip3 rpm tdnf yarn yum
    zypper
""".split()  # noqa: SIM905 -- likewise
_SHADOW_FILES = {"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"}
_MAX_SHADOW_BYTES = 1 << 20


def _check_shells(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    found = _find_programs(facts, _SHELLS)
    return fails(f"shells: {len(found)}", found) if found else passes("there is no shell")


def _check_package_managers(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    found = _find_programs(facts, _PACKAGE_MANAGERS)
    if found:
        return fails(f"package managers: {len(found)}", found)
    return passes("there is no package manager")


def _check_secrets(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    secrets = find_secrets(facts.root, Selection(facts.entries))
    found = {
        path: what
        for path, what in secrets.items()
        if path not in _SHADOW_FILES or _has_password(facts, path)
    }
    if not found:
        return passes("no file is known to be a secret")
    return fails(", ".join(dict.fromkeys(found.values())), tuple(found))


def _has_password(facts: ImageFacts, table: str) -> bool:
    """Whether a shadow file has a password hash: other values are locked accounts (shadow(5))."""
    lines = (line.split(":") for line in facts.root.text(table, _MAX_SHADOW_BYTES).splitlines())
    return any(len(line) > 1 and line[1].startswith("$") for line in lines)


def _find_programs(facts: ImageFacts, names: Iterable[str]) -> tuple[str, ...]:
    """The own paths of programs with these names, in PATH and the usual directories."""
    folders = dict.fromkeys((*facts.search_path, *_PROGRAM_FOLDERS))
    found: dict[str, None] = {}
    for name in names:
        for folder in folders:
            path = facts.root.resolve(f"{folder}/{name}", follow=False)
            target = facts.root.resolve(path.path)
            if target.exists and facts.root.kind(target.path) is Kind.FILE:
                found[path.path] = None
    return tuple(sorted(found))


RULES = (
    CheckRule(
        "no-shell",
        everywhere(Severity.WARN),
        "There is no shell in it.",
        "exec the app itself, and build from a trace in which no shell runs; debug by an ephemeral "
        "container",
        _check_shells,
    ),
    CheckRule(
        "no-package-manager",
        everywhere(Severity.WARN),
        "Nothing in it installs software.",
        "install in the full image, and build the slim one from a trace of the app alone",
        _check_package_managers,
    ),
    CheckRule(
        "no-secrets",
        everywhere(Severity.FAIL),
        "There are no private keys, credentials or passwords in it.",
        "leave it out with --exclude, and mount it where the container runs",
        _check_secrets,
    ),
)
