"""The fixpoint: from paths that are wanted to all entries that they need or imply."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.hwcaps import baseline
from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rule import RuleContext
from slimtrace.builder.closure.rules import rules_of
from slimtrace.builder.closure.shebang import script_needs
from slimtrace.builder.model import Dropped, Kind, Reason, Seed, Selection
from slimtrace.builder.root.excluded_paths import exclusion_reason, is_kernel_path
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slimtrace.builder.closure.elf.loader import MissingLibrary
    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import ClosureRule
    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Entry
    from slimtrace.builder.root.root import ResolvedPath, Root

_RANK = {reason: rank for rank, reason in enumerate(Reason)}
_ASKED_FOR = frozenset({Reason.TOUCHED, Reason.INCLUDED, Reason.HEALED})


def expand(
    root: Root, wanted: Iterable[Seed], around: RunEnvironment, rules: Sequence[ClosureRule] = ()
) -> Selection:
    """All entries that the wanted paths need, and imply by these rules, transitively.

    A needed library that is nowhere is a warning, unless only a rule brought what needs it. What
    is wanted and not there is left to the caller, who knows whether that matters.

    :raises SlimtraceError: a file of the full image cannot be read.
    """
    closure = _Closure(root, around, rules)
    for want in sorted(wanted, key=lambda want: want.path):
        closure.want(want)
    closure.load()
    closure.imply()
    return closure.selection()


def add_closure(
    selection: Selection, context: Context, rules: Sequence[ClosureRule] | None = None
) -> Selection:
    """Add all that the seeds need, and all that the rules of ``--keep`` imply.

    :param rules: None for those that the options choose.
    """
    if rules is None:
        rules = rules_of(context.options.keep, context.options.without_rules)
    environment = RunEnvironment.of(context.trace.runs)
    closed = expand(context.root, selection.seeds, environment, rules)
    return replace(
        selection,
        entries=closed.entries,
        dropped=(*selection.dropped, *closed.dropped),
        warnings=(*selection.warnings, *closed.warnings),
    )


class _Closure:
    def __init__(self, root: Root, around: RunEnvironment, rules: Sequence[ClosureRule]) -> None:
        self._root = root
        self._around = around
        self._rules = rules
        self._loader = Loader(root, around)
        self._touched: set[str] = set()
        self._read: set[str] = set()
        self._listed: set[str] = set()
        self._reasons: dict[str, set[Reason]] = {}
        self._dropped: dict[str, Dropped] = {}
        self._to_load: dict[str, str] = {}
        """Resolved path → how it was looked up."""
        self._scripts: deque[str] = deque()
        self._loaded: set[str] = set()
        self._missing: dict[MissingLibrary, None] = {}
        self._implied = {rule.reason for rule in rules}

    def _need(self, need: Need) -> None:
        self.want(Seed(need.path, need.reason, load=need.load, execute=need.execute))

    def want(self, want: Seed) -> None:
        found = self._root.resolve(want.path, follow=want.follow)
        for path in (*found.links, found.path):
            for need in baseline(self._root, path):
                self._need(need)
        for link in found.links:
            self._keep(link, Reason.SYMLINK, override=want.override)
        if not found.exists or not self._keep(found.path, want.reason, override=want.override):
            return
        self._note(want, found.path)
        if self._root.kind(found.path) is not Kind.FILE:
            return
        if want.load:
            self._to_load.setdefault(found.path, want.path)
        if want.execute and self._may_execute(found):
            self._scripts.append(found.path)

    def _note(self, want: Seed, path: str) -> None:
        """For the rules: what was asked for, and how it was used."""
        if want.reason in _ASKED_FOR:
            self._touched.add(path)
        if want.reason is Reason.TOUCHED and want.load:
            self._read.add(path)
        if want.is_listed:
            self._listed.add(path)

    def load(self) -> None:
        """Go on until nothing new is needed to load.

        Programs go first: their search path serves what they load, which then need not be
        looked at on its own.
        """
        seen: set[str] = set()
        while self._to_load or self._scripts:
            while self._scripts:
                path = self._scripts.popleft()
                if path not in seen:
                    seen.add(path)
                    for need in script_needs(self._root, path, self._around):
                        self._need(need)
            batch, self._to_load = self._to_load, {}
            for path in sorted(batch, key=self._programs_first):
                if path not in self._loaded:
                    self._load(batch[path], path)

    def imply(self) -> None:
        """Ask the rules of all that is kept, and of what that brings, until nothing new is."""
        around, loader = self._around, self._loader
        sets = (self._touched, self._listed, self._reasons, self._read)
        world = RuleContext(self._root, around, loader, *map(frozenset, sets))
        asked: set[str] = set()
        while self._rules and (fresh := sorted(self._reasons.keys() - asked)):
            asked.update(fresh)
            for path, rule in product(fresh, self._rules):
                for need in rule.of(world, path):
                    if self._root.resolve(need.path).exists:
                        self._need(need)
            self.load()

    def selection(self) -> Selection:
        entries = {path: self._entry(path) for path in sorted(self._reasons)}
        dropped = tuple(self._dropped[path] for path in sorted(self._dropped))
        return Selection(entries, dropped, self._warnings(entries))

    def _keep(self, path: str, reason: Reason, *, override: bool) -> bool:
        why = exclusion_reason(path)
        if why is None and self._root.kind(path) is None:
            why = "it is a socket or a device"
        if why is not None and not (
            override and not is_kernel_path(path) and self._root.kind(path)
        ):
            self._dropped.setdefault(path, Dropped(path, why))
            return False
        self._reasons.setdefault(path, set()).add(reason)
        for parent in list_parents(path):
            self._reasons.setdefault(parent, set()).add(Reason.DIRECTORY)
        return True

    def _load(self, lookup: str, path: str) -> None:
        loads = self._loader.loads(lookup, path)
        self._loaded.add(path)
        if loads is None:
            return
        self._loaded.update(loads.files)
        if not self._reasons[path] <= self._implied:
            self._missing.update(dict.fromkeys(loads.missing))
        for need in loads.needs:
            self._need(need)

    def _may_execute(self, found: ResolvedPath) -> bool:
        fingerprint = self._root.fingerprint(found.path)
        return fingerprint is not None and bool(fingerprint.mode & 0o111)

    def _programs_first(self, path: str) -> tuple[bool, str]:
        elf = self._loader.elves.read(path)
        return (elf is None or elf.interpreter is None, path)

    def _entry(self, path: str) -> Entry:
        reasons = tuple(sorted(self._reasons[path], key=_RANK.__getitem__))
        return self._root.entry(path, reasons)

    def _warnings(self, entries: Iterable[str]) -> tuple[str, ...]:
        """A library that a kept file brings under another search path is not missing."""
        there = {path.rpartition("/")[2] for path in entries}
        read = map(self._loader.elves.read, self._loaded)
        there |= {elf.soname for elf in read if elf and elf.soname}
        found: dict[str, list[str]] = {}
        for missing in self._missing:
            if missing.name not in there:
                found.setdefault(missing.name, []).append(missing.by)
        return tuple(
            f"cannot find the library {name}, which {min(by)} names: left out"
            for name, by in sorted(found.items())
        )
