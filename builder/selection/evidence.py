"""Selects the files that the runs touched, and records which of them the image leaves out."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.model import BuildPart, Cause, Dropped, Kind, ProcessImages, Reason, Seed
from slimtrace.builder.root.excluded_paths import (
    collect_volumes,
    exclusion_reason,
    find_exclusion_reason,
    is_in_volume,
    is_kernel_path,
    is_runtime_folder,
)
from slimtrace.builder.root.staleness import find_difference, follows_symlink
from slimtrace.builder.selection.globs import compile_globs
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.text import format_count
from slimtrace.tracer.trace.gaps import find_next_step, loses_files
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Collection

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import ResolvedPath, Root
    from slimtrace.tracer.trace.trace import Trace, TracedPath

_MAX_NAMED_FILES = 5
"""How many paths a message names before it only counts them."""

_LOADING = {Use.EXEC, Use.READ}


def add_touched(selection: Selection, context: Context) -> Selection:
    """Add the files that the runs used, after a check that they have not changed since.

    A file that images do not contain is dropped, unless ``--include`` names it.

    :raises SlimtraceError: files changed since the run, and ``--allow-changed`` is not set.
    """
    trace, root = context.trace, context.root
    is_included = compile_globs(root, context.options.include)
    seeds: list[Seed] = []
    dropped: list[Dropped] = []
    changed: list[str] = []
    volumes = collect_volumes(trace.runs)
    for traced in trace.with_state(State.FILE):
        own = root.resolve(traced.path, follow=follows_symlink(traced))
        override = is_included(own.path)
        why = _find_drop_reason(root, traced, own, volumes, override=override)
        if why is not None:
            dropped.append(Dropped(traced.path, why))
            seeds += _make_link_seeds(traced, own, volumes)
            seeds += _make_runtime_seeds(root, traced, own, volumes)
            continue
        if find_difference(root, traced, own) is not None:
            changed.append(traced.path)
            if not own.exists:
                dropped.append(Dropped(traced.path, "it was gone when the image was built"))
                continue
        seeds.append(_make_seed(root, traced, own, override=override))
    if changed and not context.options.allow_changed:
        raise _changed_error(changed)
    dropped += [
        Dropped(path.path, "the app created it") for path in trace.with_state(State.CREATED)
    ]
    seeds += _make_cwd_seeds(trace)
    return replace(
        selection,
        seeds=(*selection.seeds, *seeds),
        dropped=(*selection.dropped, *dropped),
        warnings=(*selection.warnings, *_changed_warnings(changed), *_gap_warnings(trace)),
    )


def add_healed(selection: Selection, context: Context) -> Selection:
    """Add the files that ``verify --heal`` wrote into the trace."""
    cause = Cause(Reason.HEALED, BuildPart("verify --heal"))
    healed = [Seed(path, cause, load=True, execute=True) for path in context.trace.healed]
    return replace(selection, seeds=(*selection.seeds, *healed))


def settle_dropped(selection: Selection, _: Context) -> Selection:
    """Sort the dropped paths, and remove those that are kept for another reason."""
    dropped: dict[str, Dropped] = {}
    for item in selection.dropped:
        dropped.setdefault(item.path, item)
    paths = sorted(dropped.keys() - selection.entries.keys())
    return replace(selection, dropped=tuple(dropped[path] for path in paths))


def _make_cwd_seeds(trace: Trace) -> list[Seed]:
    """Make seeds for the working directories of the runs, caused by each run's first process."""
    folders: dict[str, list[int]] = {run.cwd: [] for run in trace.runs}
    for image in trace.processes:
        if image.parent is None:
            folders[trace.runs[image.run].cwd].append(image.id)
    return [
        Seed(cwd, Cause(Reason.TOUCHED, ProcessImages((*ids,)))) for cwd, ids in folders.items()
    ]


def _make_link_seeds(traced: TracedPath, own: ResolvedPath, volumes: Collection[str]) -> list[Seed]:
    """Make seeds for the image's symlinks to a file that is not in it: the app follows them."""
    cause = Cause(Reason.SYMLINK, ProcessImages(traced.processes))
    return [
        Seed(link, cause, follow=False)
        for link in own.links
        if exclusion_reason(link) is None and not is_in_volume(volumes, link)
    ]


def _make_runtime_seeds(
    root: Root, traced: TracedPath, own: ResolvedPath, volumes: Collection[str]
) -> list[Seed]:
    """Make a seed for the directory below ``/run`` that contains a dropped file."""
    folder = os.path.dirname(own.path)
    if not is_runtime_folder(root, folder) or is_in_volume(volumes, folder):
        return []
    return [Seed(folder, Cause(Reason.TOUCHED, ProcessImages(traced.processes)))]


def _make_seed(root: Root, traced: TracedPath, own: ResolvedPath, *, override: bool) -> Seed:
    may_change = root.kind(own.path) is Kind.DIRECTORY and not root.is_pristine
    return Seed(
        traced.path,
        Cause(Reason.TOUCHED, ProcessImages(traced.processes)),
        follow=follows_symlink(traced),
        load=bool(traced.uses & _LOADING),
        execute=Use.EXEC in traced.uses,
        override=override,
        is_listed=Use.LIST in traced.uses,
        fingerprint=traced.fingerprint if may_change else None,
    )


def _find_drop_reason(
    root: Root,
    traced: TracedPath,
    own: ResolvedPath,
    volumes: Collection[str],
    *,
    override: bool,
) -> str | None:
    """Find why an image does not contain a path, by its name or its target; None if it may."""
    lookup = traced.path.rstrip("/") or "/"
    if is_kernel_path(lookup) and lookup.count("/") > 1:
        return exclusion_reason(lookup)
    if not override:
        why = find_exclusion_reason(root, lookup) or find_exclusion_reason(root, own.path)
        if why is not None:
            return why
        if own.exists and root.kind(own.path) is None:
            return "it is a socket or a device"
    if is_in_volume(volumes, traced.path, own.path):
        return "it is in a volume"
    if root.is_pristine and not own.exists:
        return "it is not in the full image"
    return None


def _changed_error(changed: list[str]) -> SlimtraceError:
    return SlimtraceError(
        f"cannot build from the trace: {_format_files(changed)} changed since the run",
        "trace the app again, or build with --allow-changed",
    )


def _changed_warnings(changed: list[str]) -> tuple[Caution, ...]:
    if not changed:
        return ()
    fact = f"{_format_files(changed)} changed since the run: the image has their present state"
    return (Caution(fact, "trace the app again if it needs the former one"),)


def _gap_warnings(trace: Trace) -> tuple[Caution, ...]:
    """Return a warning with a next step for each gap that may lose files."""
    gaps = dict.fromkeys(gap for run in trace.runs for gap in run.gaps if loses_files(gap.kind))
    return tuple(
        Caution(f"the trace may be incomplete ({gap.kind}: {gap.detail})", find_next_step(gap.kind))
        for gap in gaps
    )


def _format_files(paths: list[str]) -> str:
    """Format paths as ``3 files (/a, /b, /c)``, with the names of the first few."""
    names = ", ".join(paths[:_MAX_NAMED_FILES]) + (", …" if len(paths) > _MAX_NAMED_FILES else "")
    return f"{format_count(len(paths), 'file')} ({names})"
