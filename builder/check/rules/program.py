"""Whether the image's command and its probes can be executed."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from slimtrace.builder.check.executable import explain_exec_failure
from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    everywhere,
    fails,
    only,
    passes,
    skips,
)
from slimtrace.builder.check.target_platform import TargetPlatform
from slimtrace.builder.policy.healthcheck import parse_healthcheck

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts

_SHELLS = {"sh", "ash", "bash", "dash", "ksh", "zsh"}


def _check_command(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    if not facts.command:
        if not facts.config:
            return skips("it has no configuration that says what to run")
        return fails("it has neither Entrypoint nor Cmd")
    why = explain_exec_failure(facts, facts.command[0])
    if why is not None:
        return fails(why)
    return passes(f"{facts.command[0]} and what loads it is there, for its user to execute")


def _check_exec_form(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    command = facts.command
    if not command:
        return skips("it names no command")
    if os.path.basename(command[0]) in _SHELLS and command[1:2] == ("-c",):
        return fails(f"process 1 is a shell: {shlex.join(command)[:80]}")
    return passes("its command is no shell's")


def _check_probes(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    healthcheck = parse_healthcheck(facts.run_config.get("Healthcheck"))
    probes = [*([healthcheck] if healthcheck else []), *facts.request.probes]
    if not probes:
        return skips("it has no health check, and no --probe was named")
    causes = [why for argv in probes if (why := explain_exec_failure(facts, argv[0])) is not None]
    if causes:
        return fails("; ".join(causes))
    return passes("there are " + ", ".join(dict.fromkeys(argv[0] for argv in probes)))


def _check_architecture(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    if not facts.config:
        return skips("it has no configuration that says for which machine it is")
    found = f"{facts.config.get('os')}/{facts.config.get('architecture')}"
    return passes(f"it is for {found}") if found == "linux/amd64" else fails(f"it is for {found}")


RULES = (
    CheckRule(
        "command-runs",
        everywhere(Severity.FAIL),
        "Its user can execute its command, and all that loads it is there.",
        "trace the command again and build from that trace; --grant-read opens what is barred",
        _check_command,
    ),
    CheckRule(
        "exec-form",
        everywhere(Severity.WARN),
        "Its command is the app itself, not a shell that runs it.",
        'write ENTRYPOINT ["app", "word"], and leave $VARIABLES to the app',
        _check_exec_form,
    ),
    CheckRule(
        "probe-programs",
        everywhere(Severity.FAIL),
        "The programs of its health check and exec probes run in it.",
        "trace the probe beside the app: slimtrace run --exec-in COMMAND; or use an httpGet or "
        "tcpSocket probe, and build with --no-healthcheck",
        _check_probes,
    ),
    CheckRule(
        "amd64",
        only(Severity.FAIL, TargetPlatform.CLOUD_RUN, TargetPlatform.APP_ENGINE),
        "It is for linux/amd64.",
        "trace and build it on that platform: --platform linux/amd64",
        _check_architecture,
    ),
)
