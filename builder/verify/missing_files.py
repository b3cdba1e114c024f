"""The look-ups that found nothing in the slim image and would have found something in the full."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.builder.root.excluded_paths import OWN_TOP, is_in_volume, volumes_of, why_outside
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.selection.globs import Glob
    from slimtrace.tracer.trace.trace import ProcessImage, Trace, TracedPath


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A path that the app looked for.

    :ivar path: as it was looked up; ``own`` the file's own path in the full image.
    :ivar processes: what looked for it, as command lines.
    :ivar on_purpose: why the image does not hold it, where that was asked for; else None.
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
    """What the runs in the slim image looked for in vain, by path.

    :param root: the full image; ``slim`` the other.
    :param trace: of the runs there: what they did not find either, or made themselves, is not
        lacking, whatever lies there now.
    :param verified: of the same runs in the slim image.
    :param ignored: what the user does not want to hear of.
    """
    found = []
    names = {image.id: _command_line(image) for image in verified.processes}
    volumes = volumes_of(trace.runs)
    for missing in verified.paths.values():
        if missing.state is not State.MISSING and not missing.missed:
            continue
        known = trace.paths.get(missing.path)
        if known is not None and known.state is not State.FILE:
            continue
        own = _find_own_path(root, slim, missing, volumes)
        if own is None:
            continue
        if any(glob.matches(own) or glob.matches(missing.path) for glob in ignored):
            continue
        who = tuple(dict.fromkeys(names.get(ident, "?") for ident in missing.processes))
        found.append(MissingFile(missing.path, own, who))
    return tuple(found)


def explain_omissions(
    items: Iterable[MissingFile], selection: Selection, excluded: Collection[Glob]
) -> tuple[MissingFile, ...]:
    """The items, each with why the image does not hold it, where that was asked for.

    :param selection: what was built.
    """
    dropped = {item.path: item.why for item in selection.dropped}

    def told(item: MissingFile) -> MissingFile:
        why = dropped.get(item.path) or dropped.get(item.own)
        if any(glob.matches(item.own) for glob in excluded):
            why = "--exclude takes it"
        return replace(item, on_purpose=why)

    return tuple(map(told, items))


def _find_own_path(
    root: Root, slim: Root, missing: TracedPath, volumes: Collection[str]
) -> str | None:
    """What would have been found, by its own path; None for nothing, or for no part of an image.

    Where a link leads out of the image, as /etc/mtab does, the link is what there must be.
    """
    if _is_outside(missing.path, volumes):
        return None
    there = root.resolve(missing.path)
    leads_out = _is_outside(there.path, volumes)
    if there.exists and not leads_out:
        if there.path.endswith(".py") and slim.kind(f"{there.path}c") is not None:
            return None  # the module is there, compiled alone
        return None if root.kind(there.path) is None else there.path
    if not leads_out and Use.READLINK not in missing.uses:
        return None
    links = (link for link in there.links if not _is_outside(link, volumes))
    return next((link for link in links if slim.kind(link) is None), None)


def _is_outside(path: str, volumes: Collection[str]) -> bool:
    """Whether an engine, the kernel or the user provides what lies there."""
    return why_outside(path) is not None or path in OWN_TOP or is_in_volume(volumes, path)


def _command_line(image: ProcessImage) -> str:
    return " ".join(image.argv) or image.exe
