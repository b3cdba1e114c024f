"""``slimtrace check``: reads the image, starts it, and applies the rules of the platforms."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckReport,
    CheckRequest,
    Finding,
    FindingStatus,
    ImageFacts,
)
from slimtrace.builder.check.rule_set import select_rules
from slimtrace.builder.check.trial_start import StartOptions, measure_starts
from slimtrace.builder.full_image import make_root
from slimtrace.builder.images.read.full_image_source import open_image, stored_size
from slimtrace.builder.images.read.platform_choice import own_platform
from slimtrace.builder.interrupt import raise_on_signals
from slimtrace.builder.root.walk import list_entries
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.check.inspection import CheckRule
    from slimtrace.builder.check.target_platform import TargetPlatform
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.services import StartImage


def check(
    image: str,
    platforms: Sequence[TargetPlatform],
    request: CheckRequest,
    options: StartOptions,
    start: StartImage,
    *,
    run: bool,
) -> CheckReport:
    """Apply the rules of these platforms to an image.

    :param image: a reference that ``run --image`` reads.
    :param start: starts an image once.
    :param run: whether to start it for the rules that are measured.
    :raises SlimtraceError: it cannot be read, or not be started on this machine.
    """
    with raise_on_signals(image, "check"):
        opened = open_image(image)
        rules = select_rules(platforms)
        facts = _read_facts(image, opened, request)
        why = _explain_no_start(facts, run=run)
        if why is not None:
            facts = replace(facts, why_no_start=why)
        else:
            modes = {rule.start for rule in rules if rule.start is not None}
            facts = measure_starts(opened, facts, modes, platforms, options, start)
        findings = tuple(
            finding for rule in rules for finding in _apply_rule(rule, facts, platforms)
        )
        return CheckReport(image, opened.digest, (*platforms,), rules, findings, facts.starts)


def _read_facts(text: str, image: FullImage, request: CheckRequest) -> ImageFacts:
    root = make_root(image)
    entries = list_entries(root)
    if not entries:
        raise SlimtraceError(f"cannot check {text}: there is nothing in it")
    size = stored_size(image.source)
    return ImageFacts(text, image.digest, image.config, root, entries, request, size)


def _explain_no_start(facts: ImageFacts, *, run: bool) -> str | None:
    """Why the image is not started, as a sentence; None if it is."""
    if not run:
        return "not started: --no-run"
    if not facts.command:
        return "not started: it has no command, and there is none after --"
    own, found = own_platform().architecture, facts.config.get("architecture", None)
    if found not in {None, own}:
        return f"not started: it is for {found}, and this machine is {os.uname().machine}"
    return None


def _apply_rule(
    rule: CheckRule, facts: ImageFacts, platforms: Sequence[TargetPlatform]
) -> list[Finding]:
    """The findings of a rule, one for all platforms with the same result."""
    found: dict[Finding, list[TargetPlatform]] = {}
    for platform in platforms:
        if platform in rule.levels:
            result = rule.check(facts, platform)
            finding = Finding(rule, FindingStatus.of(result, rule.levels[platform]), result)
            found.setdefault(finding, []).append(platform)
    return [replace(finding, platforms=(*group,)) for finding, group in found.items()]
