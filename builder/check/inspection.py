"""The types of a check: rules, the facts that they read, their findings and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.check.target_platform import PLATFORM_TRAITS, TargetPlatform
from slimtrace.builder.check.user_lookup import look_up_user
from slimtrace.builder.model import Kind
from slimtrace.tracer.environment import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slimtrace.builder.check.user_lookup import UserLookup
    from slimtrace.builder.model import Entry
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.startup.trial import TrialResult


class FindingStatus(StrEnum):
    PASS = "pass"  # noqa: S105 -- no password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"

    @classmethod
    def of(cls, result: RuleResult, severity: Severity) -> FindingStatus:
        """The status of a result, for a rule of this severity."""
        if result.passed is None:
            return cls.SKIP
        return cls.PASS if result.passed else cls(severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule, and the platforms that it applies to.

    :ivar rule: compared by name, because it has functions.
    """

    rule: CheckRule
    status: FindingStatus
    result: RuleResult
    platforms: tuple[TargetPlatform, ...] = ()

    def __hash__(self) -> int:
        return hash((self.rule.name, self.status, self.result))

    @property
    def is_broken(self) -> bool:
        """Whether the user should change something."""
        return self.status in {FindingStatus.WARN, FindingStatus.FAIL}

    @property
    def is_measured(self) -> bool:
        """Whether it comes from a start of the image."""
        return self.rule.start is not None and self.status is not FindingStatus.SKIP


def to_document(report: CheckReport) -> dict[str, Any]:
    """The document that ``check --json`` prints."""
    return {
        "image": report.image,
        "digest": report.digest,
        "platforms": [*report.platforms],
        "passed": report.passed,
        "counts": {str(status): report.count(status) for status in FindingStatus},
        "rules": [_finding_document(finding) for finding in report.findings],
        "starts": {str(mode): _start_document(trial) for mode, trial in report.starts.items()},
    }


def _finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule.name,
        "status": finding.status,
        "platforms": [*finding.platforms],
        "measured": finding.is_measured,
        "detail": finding.result.detail,
        "proves": finding.rule.proves,
        "remedy": finding.rule.remedy if finding.is_broken else None,
        "paths": [path.encode("utf-8", "replace").decode() for path in finding.result.paths],
        "lines": [*finding.result.lines],
    }


def _start_document(trial: TrialResult) -> dict[str, Any]:
    return {
        "command": [*trial.command],
        "user": trial.user,
        "failure": trial.failure,
        "ready": trial.ready,
        "listening": [
            {"address": each.address, "port": each.port, "outside": each.is_outside}
            for each in trial.listening
        ],
        "exit_status": trial.exit_status,
        "answer": trial.answer
        and {"status": trial.answer.status, "version": trial.answer.version or None},
        "stopped": trial.stopped
        and {
            "signal": trial.stopped.signal,
            "seconds": trial.stopped.seconds,
            "handled": trial.stopped.is_handled,
            "killed": trial.stopped.was_killed,
        },
        "lines": [*trial.lines],
        **({} if trial.untried is None else {"untried": trial.untried}),
    }


def grace_seconds(platform: TargetPlatform, requested: float | None) -> float:
    """Seconds from the stop signal to SIGKILL: the user's number, or the platform's default."""
    return PLATFORM_TRAITS[platform].grace if requested is None else requested


def skip_without_service(facts: ImageFacts) -> RuleResult:
    """The result of a rule about a service where no service ran."""
    trial = facts.starts.get(StartMode.USUAL)
    if trial is None:
        return skips(facts.why_no_start)
    if trial.is_job:
        return skips("it is a job: it ended by itself with exit status 0")
    return skips("it did not start")


class Severity(StrEnum):
    """How bad it is if a rule is broken."""

    WARN = "warn"
    FAIL = "fail"


class StartMode(StrEnum):
    """The ways to start an image for the rules that are measured."""

    USUAL = "usual"
    """As the platform starts it; stopped by its stop signal."""
    READ_ONLY = "read-only"
    """With a read-only root file system."""
    UNPRIVILEGED = "unprivileged"
    """Without capabilities, and not as root."""
    ANY_USER = "any-user"
    """As a UID that is not in the image's /etc/passwd, with group 0."""


class RuleResult(NamedTuple):
    """The result of one rule.

    :ivar passed: None if the rule does not apply, or could not be checked.
    :ivar detail: a sentence for people.
    :ivar paths: the files that break the rule.
    :ivar lines: the last lines that the app printed.
    """

    passed: bool | None
    detail: str
    paths: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def passes(detail: str) -> RuleResult:
    """The image keeps the rule."""
    return RuleResult(True, detail)


def fails(detail: str, paths: tuple[str, ...] = (), lines: tuple[str, ...] = ()) -> RuleResult:
    """The image breaks the rule."""
    return RuleResult(False, detail, paths, lines)


def skips(why: str) -> RuleResult:
    """The rule does not apply, or could not be checked."""
    return RuleResult(None, why)


@dataclass(frozen=True, slots=True)
class CheckRule:
    """One property that platforms expect of an image.

    :ivar levels: the severity on each platform that it applies to.
    :ivar proves: a sentence that is true if the rule passes.
    :ivar remedy: what to do if it does not.
    :ivar start: the start that it is measured in; None if it is read from the image.
    """

    name: str
    levels: Mapping[TargetPlatform, Severity]
    proves: str
    remedy: str
    check: Callable[[ImageFacts, TargetPlatform], RuleResult]
    start: StartMode | None = None


def only(level: Severity, *platforms: TargetPlatform) -> dict[TargetPlatform, Severity]:
    """The same severity on these platforms, and none elsewhere."""
    return dict.fromkeys(platforms, level)


def everywhere(level: Severity, **others: Severity) -> dict[TargetPlatform, Severity]:
    """One severity on all platforms but those named: ``cloud_run=Severity.FAIL``."""
    named = {TargetPlatform(name.replace("_", "-")): other for name, other in others.items()}
    return {**dict.fromkeys(TargetPlatform, level), **named}


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """The user's options that rules read.

    :ivar args: arguments instead of the image's Cmd.
    :ivar probes: the argv of commands that the platform runs in the container.
    :ivar grace: seconds from the stop signal to SIGKILL; None for the platform's default.
    :ivar startup: seconds until the app must be ready; None for the platform's default.
    :ivar max_size: bytes of the compressed layers; None for the default.
    """

    args: tuple[str, ...] = ()
    probes: tuple[tuple[str, ...], ...] = ()
    grace: float | None = None
    startup: float | None = None
    max_size: int | None = None


@dataclass(frozen=True)
class ImageFacts:
    """What the rules know of one image.

    :ivar image: its reference.
    :ivar config: the whole OCI image config; empty if it has none.
    :ivar entries: its files and links, not its directories, by own path.
    :ivar compressed: bytes of its layers as stored; None if not known.
    :ivar starts: how it started.
    :ivar port: the value of PORT in these starts.
    :ivar why_no_start: why it was not started, as a sentence.
    """

    image: str
    digest: str | None
    config: Mapping[str, Any]
    root: Root
    entries: Mapping[str, Entry]
    request: CheckRequest = field(default_factory=CheckRequest)
    compressed: int | None = None
    starts: Mapping[StartMode, TrialResult] = field(default_factory=dict)
    port: int | None = None
    why_no_start: str = "the image was not started"

    @cached_property
    def run_config(self) -> Mapping[str, Any]:
        """The object ``config`` in the image config (image-spec config.md)."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}

    def get_strings(self, name: str) -> tuple[str, ...]:
        """A list of strings in :attr:`run_config`; empty if it is anything else."""
        found = self.run_config.get(name)
        is_list = isinstance(found, list) and all(isinstance(each, str) for each in found)
        return tuple(found) if found and is_list else ()

    def get_string(self, name: str) -> str:
        """A string in :attr:`run_config`; empty if it is anything else."""
        found = self.run_config.get(name)
        return found if isinstance(found, str) else ""

    def get_keys(self, name: str) -> tuple[str, ...]:
        """The keys of an object in :attr:`run_config`, such as ExposedPorts."""
        found = self.run_config.get(name)
        return tuple(map(str, found)) if isinstance(found, dict) else ()

    @cached_property
    def command(self) -> tuple[str, ...]:
        """The argv that the image starts."""
        return (*self.get_strings("Entrypoint"), *(self.request.args or self.get_strings("Cmd")))

    @cached_property
    def user(self) -> UserLookup:
        """The user that it runs as."""
        return look_up_user(self.root, self.get_string("User"))

    @cached_property
    def env(self) -> dict[str, str]:
        """Its environment."""
        return dict(each.split("=", 1) for each in self.get_strings("Env") if "=" in each)

    @cached_property
    def search_path(self) -> tuple[str, ...]:
        """The directories of PATH, absolute."""
        folders = self.env.get("PATH", DEFAULT_PATH).split(":")
        return tuple(self.make_absolute(folder or ".") for folder in folders)

    def make_absolute(self, path: str) -> str:
        """A path relative to the working directory, made absolute."""
        folder = self.get_string("WorkingDir") or "/"
        return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"

    def find_program(self, program: str) -> str | None:
        """The path where exec(3) finds a program; None if there is no such file."""
        folders = [""] if "/" in program else self.search_path
        for folder in folders:
            path = f"{folder.rstrip('/')}/{program}" if folder else self.make_absolute(program)
            found = self.root.resolve(path)
            if found.exists and self.root.kind(found.path) is Kind.FILE:
                return path
        return None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check.

    :ivar findings: in the order of the rules.
    :ivar starts: how the image started.
    """

    image: str
    digest: str | None
    platforms: tuple[TargetPlatform, ...]
    rules: tuple[CheckRule, ...]
    findings: tuple[Finding, ...]
    starts: Mapping[StartMode, TrialResult] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no rule fails."""
        return not any(finding.status is FindingStatus.FAIL for finding in self.findings)

    def count(self, status: FindingStatus) -> int:
        """The number of findings with this status."""
        return sum(finding.status is status for finding in self.findings)
