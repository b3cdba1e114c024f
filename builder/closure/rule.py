"""What a closure rule is: a kept file implies others, for a reason that can be switched off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.model import Keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from slimtrace.builder.closure.elf.loader import Loader
    from slimtrace.builder.closure.need import Need, RunEnvironment
    from slimtrace.builder.model import Reason
    from slimtrace.builder.root.root import Root


@dataclass(frozen=True, slots=True, eq=False)
class RuleContext:
    """What a rule may ask. One lives as long as one closure, and can be a key of a cache.

    Paths are own paths: every symlink resolved.

    :ivar touched: what the runs touched, or the user included.
    :ivar read: what of that the runs read or executed.
    :ivar listed: the directories whose names the runs read.
    :ivar kept: what was there before any rule: what was asked for, and what that needs to load.
    """

    root: Root
    environment: RunEnvironment
    loader: Loader
    touched: frozenset[str]
    listed: frozenset[str]
    kept: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ClosureRule:
    """One rule.

    :ivar reason: what the files that it brings are there for; also its name.
    :ivar of: what the file or directory at an own path implies. It is asked once of each that is
        kept, and may name what does not exist.
    :ivar level: the first level that it works at.
    """

    reason: Reason
    of: Callable[[RuleContext, str], Iterable[Need]]
    level: Keep = Keep.CLOSURE
