"""``slimtrace check``: read the image, start it, and ask every rule of every platform."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slimtrace.builder.check.facts import Asked, Facts
from slimtrace.builder.check.finding import Finding, Status
from slimtrace.builder.check.measure import How, measured
from slimtrace.builder.check.registry import rules_for
from slimtrace.builder.full import root_of
from slimtrace.builder.images.holds import entries_of
from slimtrace.builder.sources.full import open_image, stored_size
from slimtrace.builder.sources.platforms import own_platform
from slimtrace.builder.verify.stopping import tidily_stopped
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.rootless import become_root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slimtrace.builder.check.platforms import Platform
    from slimtrace.builder.check.rule import Rule, Start
    from slimtrace.builder.sources.full import FullImage
    from slimtrace.tracer.trial.tried import Tried


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check.

    :ivar findings: in the rules' order.
    :ivar starts: how the image started.
    """

    image: str
    digest: str | None
    platforms: tuple[Platform, ...]
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    starts: Mapping[Start, Tried] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no rule fails."""
        return not any(finding.status is Status.FAIL for finding in self.findings)

    def count(self, status: Status) -> int:
        """How many findings are of a kind."""
        return sum(finding.status is status for finding in self.findings)


def check(
    image: str, platforms: Sequence[Platform], asked: Asked, how: How, *, run: bool
) -> Checked:
    """What the rules of these platforms find in an image.

    :param image: in a form that ``run --image`` reads.
    :param run: whether it is started for the rules that are measured.
    :raises SlimtraceError: it cannot be read, or not be tried here.
    """
    with tidily_stopped(image, "check"):
        become_root()
        opened = open_image(image)
        rules = rules_for(platforms)
        facts = _facts(image, opened, asked)
        why = _why_no_start(facts, run=run)
        if why is not None:
            facts = replace(facts, why_no_start=why)
        else:
            wanted = {rule.start for rule in rules if rule.start is not None}
            facts = measured(opened, facts, wanted, platforms, how)
        findings = tuple(finding for rule in rules for finding in _findings(rule, facts, platforms))
        return Checked(image, opened.digest, (*platforms,), rules, findings, facts.starts)


def _facts(text: str, image: FullImage, asked: Asked) -> Facts:
    root = root_of(image)
    entries = entries_of(root)
    if not entries:
        raise SlimtraceError(f"cannot check {text}: there is nothing in it")
    return Facts(text, image.digest, image.config, root, entries, asked, stored_size(text))


def _why_no_start(facts: Facts, *, run: bool) -> str | None:
    """Why the image cannot or is not to be started, in words."""
    if not run:
        return "not started: --no-run"
    if not facts.command:
        return "not started: it says nothing of a command, and none stands after --"
    own, found = own_platform().architecture, facts.config.get("architecture", None)
    if found not in {None, own}:
        return f"not started: it is for {found}, and this machine is {os.uname().machine}"
    return None


def _findings(rule: Rule, facts: Facts, platforms: Sequence[Platform]) -> list[Finding]:
    """What a rule finds; platforms on which that is the same stand together."""
    found: dict[Finding, list[Platform]] = {}
    for platform in platforms:
        if platform in rule.levels:
            verdict = rule.check(facts, platform)
            finding = Finding(rule, Status.of(verdict, rule.levels[platform]), verdict)
            found.setdefault(finding, []).append(platform)
    return [replace(finding, platforms=(*where,)) for finding, where in found.items()]
