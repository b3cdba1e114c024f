"""A closure rule: a kept file implies other files. Users can disable a rule by its reason."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from slimtrace.builder.model import Keep
from slimtrace.tracer.caution import Caution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from slimtrace.builder.closure.elf.loader import Loader
    from slimtrace.builder.closure.need import Need, RunEnvironment
    from slimtrace.builder.model import Reason
    from slimtrace.builder.root.root import Root


@dataclass(frozen=True, slots=True, eq=False)
class RuleContext:
    """What a rule can read. Each closure makes one; it can be the key of a cache.

    Paths are own paths: every symlink is resolved.

    :ivar touched: paths that the runs touched or the user included.
    :ivar read: those of them that the runs read or executed.
    :ivar listed: directories that the runs listed.
    :ivar missing: paths that the runs looked up and did not find, as the app named them.
    :ivar kept: paths that were kept before any rule: requested files and what they need to load.
    :ivar whole: paths that are kept only because their language package is kept whole; it grows
        while the rules are applied.
    """

    root: Root
    environment: RunEnvironment
    loader: Loader
    touched: frozenset[str]
    listed: frozenset[str]
    kept: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    whole: AbstractSet[str] = frozenset()
    _done: dict[Reason, set[Any]] = field(default_factory=dict, repr=False)

    def get_done(self, reason: Reason) -> set[Any]:
        """What a rule has looked at, or implied, already in this closure: it fills the set."""
        return self._done.setdefault(reason, set())


@dataclass(frozen=True, slots=True)
class LimitMet:
    """A rule found too much in a folder, and keeps nothing of it. Users get a warning.

    :ivar reason: the rule.
    :ivar folder: the folder whose files are left out, or the file that is left out with what it
        needs; its own path.
    :ivar files: their number.
    :ivar size: their bytes.
    :ivar example: one of these files; if another rule keeps it, nothing was left out.
    """

    reason: Reason
    folder: str
    files: int
    size: int
    example: str = ""
    is_file: bool = False


class LimitCaution(Caution):
    """The warning that a limit stopped a rule.

    :ivar limit: the limit that was met.
    """

    __slots__ = ("limit",)

    limit: LimitMet

    @classmethod
    def of(cls, limit: LimitMet) -> LimitCaution:
        """Make the warning of a limit."""
        include = limit.folder if limit.is_file else f"{limit.folder}/**"
        caution = cls(
            f"{limit.folder} is too large for the rule {limit.reason}: at least "
            f"{limit.files} files, "
            f"{decimal(limit.size)}; only what the runs used is kept",
            f"if the app needs it, add --include {shlex.quote(include)}",
        )
        caution.limit = limit
        return caution


@dataclass(frozen=True, slots=True)
class ClosureRule:
    """One rule.

    :ivar reason: the reason of the files that it adds; also its name.
    :ivar find_needs: returns what the file or directory at an own path implies. It is called once
        for each kept path, and may return paths that do not exist.
    :ivar summary: what it keeps, in Markdown: its line in docs/reference/rules.md.
    :ivar level: the lowest level of ``--keep`` that uses the rule.
    """

    reason: Reason
    find_needs: Callable[[RuleContext, str], Iterable[Need | LimitMet]]
    summary: str
    level: Keep = Keep.CLOSURE
