"""The words of a check: rules, what they find, and how bad that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.check.target_platform import PLATFORM_TRAITS, TargetPlatform
from slimtrace.builder.check.user_lookup import look_up_user
from slimtrace.builder.closure.need import DEFAULT_PATH
from slimtrace.builder.model import Kind

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
    def of(cls, verdict: RuleResult, level: Severity) -> FindingStatus:
        """What a verdict comes to where the rule counts so much."""
        if verdict.passed is None:
            return cls.SKIP
        return cls.PASS if verdict.passed else cls(level)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found, and on which platforms it means that.

    :ivar rule: compared by identity alone: it holds functions.
    """

    rule: CheckRule
    status: FindingStatus
    verdict: RuleResult
    platforms: tuple[TargetPlatform, ...] = ()

    def __hash__(self) -> int:
        return hash((self.rule.name, self.status, self.verdict))

    @property
    def is_broken(self) -> bool:
        """Whether there is something to be done."""
        return self.status in {FindingStatus.WARN, FindingStatus.FAIL}

    @property
    def is_measured(self) -> bool:
        """Whether it was seen when the image was started."""
        return self.rule.start is not None and self.status is not FindingStatus.SKIP


def to_document(checked: CheckReport) -> dict[str, Any]:
    """All of it for ``--json``."""
    return {
        "image": checked.image,
        "digest": checked.digest,
        "platforms": [*checked.platforms],
        "passed": checked.passed,
        "counts": {str(status): checked.count(status) for status in FindingStatus},
        "rules": [_finding(finding) for finding in checked.findings],
        "starts": {str(start): _start(tried) for start, tried in checked.starts.items()},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule.name,
        "status": finding.status,
        "platforms": [*finding.platforms],
        "measured": finding.is_measured,
        "detail": finding.verdict.detail,
        "proves": finding.rule.proves,
        "remedy": finding.rule.remedy if finding.is_broken else None,
        "paths": [path.encode("utf-8", "replace").decode() for path in finding.verdict.paths],
        "lines": [*finding.verdict.lines],
    }


def _start(tried: TrialResult) -> dict[str, Any]:
    return {
        "command": [*tried.command],
        "user": tried.user,
        "failure": tried.failure,
        "ready": tried.ready,
        "listening": [
            {"address": each.address, "port": each.port, "outside": each.is_outside}
            for each in tried.listening
        ],
        "exit_status": tried.exit_status,
        "answer": tried.answer
        and {"status": tried.answer.status, "version": tried.answer.version or None},
        "stopped": tried.stopped
        and {
            "signal": tried.stopped.signal,
            "seconds": tried.stopped.seconds,
            "handled": tried.stopped.is_handled,
            "killed": tried.stopped.was_killed,
        },
        "lines": [*tried.lines],
    }


def grace_seconds(platform: TargetPlatform, asked: float | None) -> float:
    """Seconds: what the user says, or else the platform's habit."""
    return PLATFORM_TRAITS[platform].grace if asked is None else asked


def skip_without_service(facts: ImageFacts) -> RuleResult:
    """Why there is nothing to say of the service."""
    tried = facts.starts.get(StartMode.USUAL)
    if tried is None:
        return skips(facts.why_no_start)
    if tried.is_job:
        return skips("it is a job: it ended by itself with exit status 0")
    return skips("it did not start")


class Severity(StrEnum):
    """What it means where a rule is broken."""

    WARN = "warn"
    FAIL = "fail"


class StartMode(StrEnum):
    """The starts of an image that measured rules need."""

    USUAL = "usual"
    """As the platform would, and stopped by its signal."""
    READ_ONLY = "read-only"
    """With a root that cannot be written."""
    UNPRIVILEGED = "unprivileged"
    """Without any capability, and not as root."""
    ANY_USER = "any-user"
    """As a user that no file knows, of root's group."""


class RuleResult(NamedTuple):
    """What one rule found.

    :ivar passed: None where the rule does not apply, or could not be looked at.
    :ivar detail: what was found, in words.
    :ivar paths: the files that break it.
    :ivar lines: the app's last ones.
    """

    passed: bool | None
    detail: str
    paths: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def passes(detail: str) -> RuleResult:
    """It is as it should be."""
    return RuleResult(True, detail)


def fails(detail: str, paths: tuple[str, ...] = (), lines: tuple[str, ...] = ()) -> RuleResult:
    """It is not."""
    return RuleResult(False, detail, paths, lines)


def skips(why: str) -> RuleResult:
    """There is nothing to say."""
    return RuleResult(None, why)


@dataclass(frozen=True, slots=True)
class CheckRule:
    """One thing that platforms expect of an image.

    :ivar levels: where it counts, and how much.
    :ivar proves: what holds where it passes, in a sentence.
    :ivar remedy: what to do where it does not.
    :ivar start: the start that it is measured in; None where it is read from the image.
    """

    name: str
    levels: Mapping[TargetPlatform, Severity]
    proves: str
    remedy: str
    check: Callable[[ImageFacts, TargetPlatform], RuleResult]
    start: StartMode | None = None


def only(level: Severity, *platforms: TargetPlatform) -> dict[TargetPlatform, Severity]:
    """On these platforms alone."""
    return dict.fromkeys(platforms, level)


def everywhere(level: Severity, **others: Severity) -> dict[TargetPlatform, Severity]:
    """On all platforms, but on some at another level: ``cloud_run=Level.FAIL``."""
    named = {TargetPlatform(name.replace("_", "-")): other for name, other in others.items()}
    return {**dict.fromkeys(TargetPlatform, level), **named}


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What the user said that rules go by.

    :ivar words: what is run in the place of the image's Cmd.
    :ivar probes: commands that the platform runs in the container.
    :ivar grace: seconds; None for the platform's own.
    :ivar startup: seconds; None likewise.
    :ivar max_size: bytes of the compressed layers; None for the default.
    """

    words: tuple[str, ...] = ()
    probes: tuple[tuple[str, ...], ...] = ()
    grace: float | None = None
    startup: float | None = None
    max_size: int | None = None


@dataclass(frozen=True)
class ImageFacts:
    """One image.

    :ivar image: the words that name it.
    :ivar config: its configuration's whole document; empty where it has none.
    :ivar entries: all that it holds but directories, by own path.
    :ivar compressed: bytes of its layers as they are stored; None where that is not known.
    :ivar starts: how it started.
    :ivar port: what PORT was in these.
    :ivar why_no_start: why it was not started, in words.
    """

    image: str
    digest: str | None
    config: Mapping[str, Any]
    root: Root
    entries: Mapping[str, Entry]
    asked: CheckRequest = field(default_factory=CheckRequest)
    compressed: int | None = None
    starts: Mapping[StartMode, TrialResult] = field(default_factory=dict)
    port: int | None = None
    why_no_start: str = "the image was not started"

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """How it runs: the configuration's inner object (image-spec config.md)."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}

    def words(self, name: str) -> tuple[str, ...]:
        """A list of strings in that; nothing where it is something else."""
        found = self.run.get(name)
        is_list = isinstance(found, list) and all(isinstance(word, str) for word in found)
        return tuple(found) if found and is_list else ()

    def text(self, name: str) -> str:
        """A string in that."""
        found = self.run.get(name)
        return found if isinstance(found, str) else ""

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of a set in that, as ExposedPorts."""
        found = self.run.get(name)
        return tuple(map(str, found)) if isinstance(found, dict) else ()

    @cached_property
    def command(self) -> tuple[str, ...]:
        """What starts."""
        return (*self.words("Entrypoint"), *(self.asked.words or self.words("Cmd")))

    @cached_property
    def user(self) -> UserLookup:
        """The user that it runs as."""
        return look_up_user(self.root, self.text("User"))

    @cached_property
    def env(self) -> dict[str, str]:
        """Its variables."""
        return dict(word.split("=", 1) for word in self.words("Env") if "=" in word)

    @cached_property
    def search_path(self) -> tuple[str, ...]:
        """The directories of PATH, absolute."""
        folders = self.env.get("PATH", DEFAULT_PATH).split(":")
        return tuple(self.absolute(folder or ".") for folder in folders)

    def absolute(self, path: str) -> str:
        """A path as the app would look it up."""
        place = self.text("WorkingDir") or "/"
        return path if path.startswith("/") else f"{place.rstrip('/')}/{path}"

    def find(self, program: str) -> str | None:
        """Where exec(3) finds a program; None where there is no such file."""
        folders = [""] if "/" in program else self.search_path
        for folder in folders:
            path = f"{folder.rstrip('/')}/{program}" if folder else self.absolute(program)
            found = self.root.resolve(path)
            if found.exists and self.root.kind(found.path) is Kind.FILE:
                return path
        return None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What came of a check.

    :ivar findings: in the rules' order.
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
        """How many findings are of a kind."""
        return sum(finding.status is status for finding in self.findings)
