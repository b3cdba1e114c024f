"""Finds lookups that failed in the slim image and would have succeeded in the full one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slimtrace.builder.model import Kind
from slimtrace.builder.root.excluded_paths import (
    OWN_TOP,
    collect_volumes,
    find_exclusion_reason,
    is_in_volume,
)
from slimtrace.tracer.text import replace_surrogates
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.selection.globs import Glob
    from slimtrace.tracer.trace.trace import ProcessImage, Trace, TracedPath


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that the app looked up and that the slim image lacks.

    :ivar path: as it was looked up.
    :ivar own: the file's own (resolved) path in the full image.
    :ivar processes: the command lines of the processes that looked it up.
    :ivar on_purpose: why the build left it out on purpose; None if it did not.
    """

    path: str
    own: str
    processes: tuple[str, ...]
    on_purpose: str | None = None


def find_missing(
    root: Root,
    slim: Root,
    trace: Trace,
    verified: Trace,
    ignored: Collection[Glob],
) -> tuple[MissingFile, ...]:
    """Find the files that runs in the slim image looked up and did not find.

    :param root: the full image; ``slim`` the slim one.
    :param trace: the runs in the full image. What they did not find either, or made themselves,
        is not missing, whatever is in the full image now.
    :param verified: the same runs in the slim image.
    :param ignored: globs of files not to report.
    """
    found: dict[str, MissingFile] = {}
    names = {image.id: _command_line(image) for image in verified.processes}
    volumes = collect_volumes(trace.runs)
    for missing in verified.paths.values():
        if missing.state is not State.MISSING and not missing.missed:
            continue
        path, own = missing.path, None
        known = trace.paths.get(path)
        if known is None or known.state is State.FILE:
            own = _find_own_path(root, slim, missing, volumes)
        if own is None and (_is_creation(known) or _is_creation(missing)):
            path = os.path.dirname(path)
            own = _find_missing_folder(root, slim, path, volumes)
        if own is None or path in found:
            continue
        if any(glob.matches(own) or glob.matches(path) for glob in ignored):
            continue
        who = tuple(dict.fromkeys(names.get(ident, "?") for ident in missing.processes))
        found[path] = MissingFile(path, own, who)
    return tuple(found.values())


def explain_omissions(
    items: Iterable[MissingFile], selection: Selection, excluded: Collection[Glob]
) -> tuple[MissingFile, ...]:
    """The items; those that the build left out on purpose say why.

    :param selection: the image's selection.
    """
    dropped = {item.path: item.why for item in selection.dropped}

    def explain(item: MissingFile) -> MissingFile:
        why = dropped.get(item.path) or dropped.get(item.own)
        if any(glob.matches(item.own) for glob in excluded):
            why = "--exclude matches it"
        return replace(item, on_purpose=why)

    return tuple(map(explain, items))


def describe_missing(item: MissingFile) -> dict[str, Any]:
    """The object of ``--json``."""
    why = {} if item.on_purpose is None else {"why": replace_surrogates(item.on_purpose)}
    processes = [replace_surrogates(command) for command in item.processes]
    return {"path": replace_surrogates(item.path), "processes": processes, **why}


def _find_own_path(
    root: Root, slim: Root, missing: TracedPath, volumes: Collection[str]
) -> str | None:
    """The own path of the file that the full image has; None if there is none, or no image has it.

    For a link that leads out of the image, such as /etc/mtab, it is the path of the link.
    """
    if _is_outside(root, missing.path, volumes):
        return None
    there = root.resolve(missing.path)
    leads_out = _is_outside(root, there.path, volumes)
    if there.exists and not leads_out:
        if there.path.endswith(".py") and slim.kind(f"{there.path}c") is not None:
            return None  # the image has the compiled module
        return None if root.kind(there.path) is None else there.path
    if not leads_out and Use.READLINK not in missing.uses:
        return None
    links = (link for link in there.links if not _is_outside(root, link, volumes))
    return next((link for link in links if slim.kind(link) is None), None)


def _is_outside(root: Root, path: str, volumes: Collection[str]) -> bool:
    """Whether an engine, the kernel or a volume provides the file."""
    excluded = find_exclusion_reason(root, path) is not None
    return excluded or path in OWN_TOP or is_in_volume(volumes, path)


def _is_creation(path: TracedPath | None) -> bool:
    """Whether something was made there, or should have been."""
    return path is not None and (path.state is State.CREATED or Use.CREATE in path.uses)


def _find_missing_folder(
    root: Root, slim: Root, folder: str, volumes: Collection[str]
) -> str | None:
    """The own path of a directory that the full image has and the slim one lacks, or None."""
    there = root.resolve(folder)
    if not there.exists or root.kind(there.path) is not Kind.DIRECTORY:
        return None
    is_outside = _is_outside(root, folder, volumes) or _is_outside(root, there.path, volumes)
    return None if is_outside or slim.kind(there.path) is not None else there.path


def _command_line(image: ProcessImage) -> str:
    return " ".join(image.argv) or image.exe
