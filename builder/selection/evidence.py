"""From a trace to what it asks for: the paths to keep, and what was touched and stays out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.closure import Seed
from slimtrace.builder.model import Dropped, Kind, Reason
from slimtrace.builder.root.excluded_paths import is_in_volume, is_kernels, volumes_of, why_outside
from slimtrace.builder.root.staleness import difference, follows
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import ResolvedPath, Root
    from slimtrace.builder.selection.globs import Glob
    from slimtrace.tracer.trace.trace import Fingerprint, Trace, TracedPath

_NAMED = 5
"""How many paths a message names before it only counts."""

_LOADING = {Use.EXEC, Use.READ}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the trace asks for.

    :ivar directories: how the touched directories were, by own path: a live root's change with
        every build beside them. None of a pristine one.
    """

    wanted: tuple[Seed, ...]
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]
    directories: Mapping[str, Fingerprint]


def pick(
    trace: Trace, root: Root, include: tuple[Glob, ...] = (), *, allow_changed: bool = False
) -> Evidence:
    """The paths that the app found, checked against the full image as it is now.

    :param include: paths that ``--include`` names are kept wherever they lie.
    :raises SlimtraceError: files changed since the run and ``allow_changed`` was not said.
    """
    wanted: list[Seed] = []
    dropped: list[Dropped] = []
    changed: list[str] = []
    directories: dict[str, Fingerprint] = {}
    volumes = volumes_of(trace.runs)
    for traced in trace.with_state(State.FILE):
        follow = follows(traced)
        found = root.resolve(traced.path, follow=follow)
        override = any(glob.matches(found.path) for glob in include)
        why = _why_dropped(root, traced, found, override=override)
        if why is None and is_in_volume(volumes, traced.path, found.path):
            why = "it lies in a volume"
        if why is None and root.is_pristine and not found.exists:
            why = "the full image does not hold it"
        if why is not None:
            dropped.append(Dropped(traced.path, why))
            wanted += _links_to(found, volumes)
            continue
        if difference(root, traced, found) is not None:
            changed.append(traced.path)
            if not found.exists:
                dropped.append(Dropped(traced.path, "it was gone when the image was built"))
                continue
        is_directory = root.kind(found.path) is Kind.DIRECTORY
        if traced.fingerprint is not None and is_directory and not root.is_pristine:
            directories[found.path] = traced.fingerprint
        wanted.append(_want(traced, follow=follow, override=override))
    if changed and not allow_changed:
        raise _changed_error(changed)
    dropped += [Dropped(path.path, "the app made it") for path in trace.with_state(State.CREATED)]
    cwds = [Seed(cwd, Reason.TOUCHED) for cwd in dict.fromkeys(run.cwd for run in trace.runs)]
    warnings = _changed_warnings(changed) + _gap_warnings(trace)
    return Evidence((*wanted, *cwds), tuple(dropped), warnings, directories)


def settle(selection: Selection, picked: Evidence, warnings: tuple[str, ...] = ()) -> Selection:
    """The selection with all that the trace left out, and its warnings.

    What a path's record says is dropped and is there all the same (a link to it was also
    reached another way) is not reported.
    """
    dropped = {item.path: item for item in (*selection.dropped, *picked.dropped)}
    return replace(
        selection,
        dropped=tuple(dropped[path] for path in sorted(dropped) if path not in selection.entries),
        warnings=(*picked.warnings, *warnings, *selection.warnings),
    )


def _links_to(found: ResolvedPath, volumes: Collection[str]) -> list[Seed]:
    """The image's own links on the way to what lies outside it: the app goes that way."""
    return [
        Seed(link, Reason.SYMLINK, follow=False)
        for link in found.links
        if why_outside(link) is None and not is_in_volume(volumes, link)
    ]


def _want(traced: TracedPath, *, follow: bool, override: bool) -> Seed:
    return Seed(
        traced.path,
        Reason.TOUCHED,
        follow=follow,
        load=bool(traced.uses & _LOADING),
        execute=Use.EXEC in traced.uses,
        override=override,
        is_listed=Use.LIST in traced.uses,
    )


def _why_dropped(
    root: Root, traced: TracedPath, found: ResolvedPath, *, override: bool
) -> str | None:
    """Why the trace's path stays out, by its own name and as it was looked up."""
    lookup = traced.path.rstrip("/") or "/"
    if is_kernels(lookup) and lookup.count("/") > 1:
        return why_outside(lookup)
    if override:
        return None
    why = why_outside(lookup) or why_outside(found.path)
    if why is None and found.exists and root.kind(found.path) is None:
        return "it is a socket or a device"
    return why


def _changed_error(changed: list[str]) -> SlimtraceError:
    return SlimtraceError(
        f"cannot build from the trace: {_named(changed)} changed since the run",
        "trace the app again, or build with --allow-changed",
    )


def _changed_warnings(changed: list[str]) -> tuple[str, ...]:
    if not changed:
        return ()
    return (f"{_named(changed)} changed since the run: the image has what is there now",)


def _gap_warnings(trace: Trace) -> tuple[str, ...]:
    gaps = dict.fromkeys(f"{gap.kind}: {gap.detail}" for run in trace.runs for gap in run.gaps)
    return tuple(f"the trace may lack something ({gap})" for gap in gaps)


def _named(paths: list[str]) -> str:
    """``3 files (/a, /b, /c)``, with no more than a few named."""
    names = ", ".join(paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
    return f"{len(paths)} file{'s' if len(paths) != 1 else ''} ({names})"
