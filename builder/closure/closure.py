"""Computes the closure: from the seeds to all entries that they need or imply, transitively."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.hwcaps import find_baseline_variant
from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rule import LimitCaution, LimitMet, RuleContext
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.closure.shebang import find_interpreters
from slimtrace.builder.model import (
    Cause,
    Dropped,
    KeptPath,
    Kind,
    ProcessImages,
    Reason,
    Seed,
    Selection,
)
from slimtrace.builder.root.excluded_paths import (
    collect_volumes,
    find_exclusion_reason,
    is_in_volume,
    is_kernel_path,
)
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from slimtrace.builder.closure.elf.loader import MissingLibrary
    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import ClosureRule
    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Entry
    from slimtrace.builder.root.root import ResolvedPath, Root

_RANK = {reason: rank for rank, reason in enumerate(Reason)}
_REQUESTED = frozenset({Reason.TOUCHED, Reason.INCLUDED, Reason.HEALED})


def expand(
    root: Root,
    seeds: Iterable[Seed],
    environment: RunEnvironment,
    rules: Sequence[ClosureRule] = (),
    missing: Iterable[str] = (),
    created: Iterable[str] = (),
    volumes: Iterable[str] = (),
) -> Selection:
    """Find all entries that the seeds need, and imply by these rules, transitively.

    A needed library that does not exist gives a warning, unless only rules added the file that
    needs it. A seed that does not exist is ignored: the caller knows whether that matters.

    :param missing: paths that the runs looked up and did not find.
    :param created: own paths that the runs made. On this machine's root they still exist, and no
        rule may add them.
    :param volumes: paths of the runs' volumes. They hide the image's files, and no rule may add
        what is in them.
    :raises SlimtraceError: a file of the full image cannot be read.
    """
    closure = _Closure(root, environment, rules, frozenset(missing))
    closure.refuse(created, volumes)
    for seed in sorted(seeds, key=lambda seed: seed.path):
        closure.add(seed)
    closure.load()
    closure.imply()
    return closure.make_selection()


def add_closure(
    selection: Selection, context: Context, rules: Sequence[ClosureRule] | None = None
) -> Selection:
    """Add all files that the seeds need, and all that the rules of ``--keep`` imply.

    :param rules: None for the rules that the options choose.
    """
    if rules is None:
        rules = choose_rules(context.options.keep, context.options.without_rules)
    environment = RunEnvironment.from_runs(context.trace.runs)
    missing = (path.path for path in context.trace.paths.values() if path.state is State.MISSING)
    volumes = collect_volumes(context.trace.runs)
    created = () if context.root.is_pristine else _list_created(context)
    closed = expand(context.root, selection.seeds, environment, rules, missing, created, volumes)
    return replace(
        selection,
        entries=closed.entries,
        dropped=(*selection.dropped, *closed.dropped),
        warnings=(*selection.warnings, *closed.warnings),
    )


def _list_created(context: Context) -> list[str]:
    created = context.trace.with_state(State.CREATED)
    return [context.root.resolve(traced.path).path for traced in created]


class _Closure:
    def __init__(
        self,
        root: Root,
        environment: RunEnvironment,
        rules: Sequence[ClosureRule],
        missing: frozenset[str],
    ) -> None:
        self._root = root
        self._missed = missing
        self._whole: set[str] = set()
        self._created: frozenset[str] = frozenset()
        self._volumes: frozenset[str] = frozenset()
        self._environment = environment
        self._rules = rules
        self._loader = Loader(root, environment)
        self._touched: set[str] = set()
        self._read: set[str] = set()
        self._listed: set[str] = set()
        self._causes: dict[str, dict[Reason, Cause]] = {}
        """Own path of a kept entry → the first cause for each reason."""
        self._dropped: dict[str, Dropped] = {}
        self._to_load: dict[str, str] = {}
        """Resolved path → the path by which it was looked up."""
        self._scripts: deque[str] = deque()
        self._loaded: set[str] = set()
        self._missing: dict[MissingLibrary, None] = {}
        self._limits: dict[LimitMet, None] = {}
        self._implied = {rule.reason for rule in rules}

    def refuse(self, created: Iterable[str], volumes: Iterable[str]) -> None:
        """Let no rule add these paths, or what is in these volumes."""
        self._created, self._volumes = frozenset(created), frozenset(volumes)

    def _add_need(self, need: Need, because: KeptPath) -> None:
        cause = Cause(need.reason, because)
        self.add(Seed(need.path, cause, load=need.load, execute=need.execute))

    def add(self, seed: Seed) -> None:
        own = self._root.resolve(seed.path, follow=seed.follow)
        for path in (*own.links, own.path):
            for need in find_baseline_variant(self._root, path):
                self._add_need(need, KeptPath(path))
        is_kept = own.exists and self._keep(own.path, seed.cause, override=seed.override)
        if own.links:
            because = KeptPath(own.path) if is_kept else seed.cause.because
            for link in own.links:
                self._keep(link, Cause(Reason.SYMLINK, because), override=seed.override)
        if not is_kept:
            return
        self._record_use(seed, own.path)
        if self._root.kind(own.path) is not Kind.FILE:
            return
        if seed.load:
            self._to_load.setdefault(own.path, seed.path)
        if seed.execute and self._is_executable(own):
            self._scripts.append(own.path)

    def _record_use(self, seed: Seed, path: str) -> None:
        """Record for the rules whether the path was touched or included, and how it was used."""
        if seed.cause.reason in _REQUESTED:
            self._touched.add(path)
        if seed.cause.reason is Reason.TOUCHED and seed.load:
            self._read.add(path)
        if seed.is_listed:
            self._listed.add(path)

    def load(self) -> None:
        """Add the interpreters and libraries of kept files, until there are no new ones.

        Programs come first: the libraries that they load are searched by the program's search
        path, and then need no search of their own.
        """
        done: set[str] = set()
        while self._to_load or self._scripts:
            while self._scripts:
                path = self._scripts.popleft()
                if path not in done:
                    done.add(path)
                    for need in find_interpreters(self._root, path, self._environment):
                        self._add_need(need, KeptPath(path))
            batch, self._to_load = self._to_load, {}
            for path in sorted(batch, key=self._load_order):
                if path not in self._loaded:
                    self._load(batch[path], path)

    def imply(self) -> None:
        """Apply the rules to all kept paths and to those that they add, until none is new."""
        context = RuleContext(
            self._root,
            self._environment,
            self._loader,
            touched=frozenset(self._touched),
            listed=frozenset(self._listed),
            kept=frozenset(self._causes),
            read=frozenset(self._read),
            missing=self._missed,
            whole=self._whole,
        )
        done: set[str] = set()
        while self._rules and (fresh := sorted(self._causes.keys() - done)):
            done.update(fresh)
            for path in fresh:
                because = KeptPath(path)
                for rule in self._rules:
                    for need in rule.find_needs(context, path):
                        if isinstance(need, LimitMet):
                            self._limits[need] = None
                        elif self._admit(need):
                            self._add_need(need, because)
            self.load()

    def _admit(self, need: Need) -> bool:
        """Decide whether a rule may add a path, and note what only a whole package brings."""
        own = self._root.resolve(need.path)
        if not own.exists or own.path in self._created:
            return False
        if self._volumes and is_in_volume(self._volumes, need.path, own.path):
            return False
        if need.reason is Reason.LANGUAGE_PACKAGE and own.path not in self._causes:
            self._whole.add(own.path)
        return True

    def make_selection(self) -> Selection:
        entries = {path: self._make_entry(path) for path in sorted(self._causes)}
        dropped = tuple(self._dropped[path] for path in sorted(self._dropped))
        return Selection(
            entries, dropped, (*self._make_warnings(entries), *self._make_limit_warnings(entries))
        )

    def _keep(self, path: str, cause: Cause, *, override: bool) -> bool:
        why = find_exclusion_reason(self._root, path)
        if why is None and self._root.kind(path) is None:
            why = "it is a socket or a device"
        if why is not None and not (
            override and not is_kernel_path(path) and self._root.kind(path)
        ):
            self._dropped.setdefault(path, Dropped(path, why))
            return False
        causes = self._causes.setdefault(path, {})
        causes[cause.reason] = _merge_causes(causes.get(cause.reason), cause)
        for parent in list_parents(path):
            above = self._causes.setdefault(parent, {})
            if Reason.DIRECTORY not in above:
                above[Reason.DIRECTORY] = Cause(Reason.DIRECTORY, KeptPath(path))
        return True

    def _load(self, lookup: str, path: str) -> None:
        dependencies = self._loader.find_dependencies(lookup, path)
        self._loaded.add(path)
        if dependencies is None:
            return
        self._loaded.update(dependencies.files)
        if not self._causes[path].keys() <= self._implied:
            self._missing.update(dict.fromkeys(dependencies.missing))
        for need, needed_by in dependencies.needs.items():
            self._add_need(need, KeptPath(needed_by))

    def _is_executable(self, own: ResolvedPath) -> bool:
        return self._root.is_executable(own.path)

    def _load_order(self, path: str) -> tuple[bool, str]:
        """The sort key that puts programs before libraries."""
        elf = self._loader.elves.read(path)
        return (elf is None or elf.interpreter is None, path)

    def _make_limit_warnings(self, entries: Collection[str]) -> tuple[Caution, ...]:
        """Make one for each folder and rule: the largest, unless another rule keeps the files."""
        met = (limit for limit in self._limits if limit.example not in entries)
        largest: dict[tuple[str, Reason], LimitMet] = {}
        for limit in sorted(met, key=lambda limit: (limit.size, limit.files)):
            largest[limit.folder, limit.reason] = limit
        return tuple(LimitCaution.of(largest[key]) for key in sorted(largest))

    def _make_entry(self, path: str) -> Entry:
        causes = sorted(self._causes[path].values(), key=lambda cause: _RANK[cause.reason])
        return self._root.entry(path, (*causes,))

    def _make_warnings(self, entries: Iterable[str]) -> tuple[Caution, ...]:
        """Make a warning for each missing library, unless a kept file elsewhere provides it."""
        names = {path.rpartition("/")[2] for path in entries}
        elves = map(self._loader.elves.read, self._loaded)
        names |= {elf.soname for elf in elves if elf and elf.soname}
        missing: dict[str, list[str]] = {}
        for library in self._missing:
            if library.name not in names:
                missing.setdefault(library.name, []).append(library.needed_by)
        return tuple(
            Caution(
                f"cannot find the library {name}, which {min(paths)} needs: left out",
                "if the app uses it, add it to the full image and trace again",
            )
            for name, paths in sorted(missing.items())
        )


def _merge_causes(known: Cause | None, new: Cause) -> Cause:
    """Merge two causes with the same reason: the first one, or all processes of both."""
    if known is None:
        return new
    if isinstance(known.because, ProcessImages) and isinstance(new.because, ProcessImages):
        ids = {*known.because.ids, *new.because.ids}
        if len(ids) > len(known.because.ids):
            return Cause(known.reason, ProcessImages(tuple(sorted(ids))))
    return known
