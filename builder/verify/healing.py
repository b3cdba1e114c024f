"""Heals an image: adds the files that it lacks, builds it again, and looks whether that helped."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from slimtrace.builder.images.read.cache_inventory import remove_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.read.image_cache import was_unpacked_here
from slimtrace.builder.images.read.image_tag import find_tag
from slimtrace.builder.images.reference import Syntax, Transport, parse_reference
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.builder.pipeline import make, select
from slimtrace.builder.selection.globs import compile_glob
from slimtrace.builder.verify.image_build import list_files
from slimtrace.builder.verify.missing_files import explain_omissions
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.temporary_folder import make_temporary_folder
from slimtrace.tracer.trace.append import append_healed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.services import Rerun
    from slimtrace.builder.verify.image_build import ImageBuild
    from slimtrace.builder.verify.missing_files import MissingFile
    from slimtrace.tracer.trace.trace import Trace

_MAX_ROUNDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found out about a slim image, after the last round of healing.

    :ivar missing: files that a run looked up, that are in the full image and not in the slim one.
    :ivar left_out: the same, but left out on purpose: no fault.
    :ivar healed: added files, by the path that was looked up.
    :ivar is_rebuilt: whether it is about a new image, in which something went better.
    :ivar rounds: how often all runs were repeated.
    """

    missing: tuple[MissingFile, ...] = ()
    left_out: tuple[MissingFile, ...] = ()
    healed: tuple[str, ...] = ()
    rounds: int = 1
    is_rebuilt: bool = False

    @property
    def differences(self) -> int:
        """How many differences from the full image there are."""
        raise NotImplementedError


_Found = TypeVar("_Found", bound=Examination)


@dataclass(frozen=True, slots=True)
class HealedBuild:
    """How an image is built again.

    :ivar kept: paths that each image has beside those of the traces.
    """

    traces: Sequence[str]
    options: BuildOptions
    rerun: Rerun
    kept: tuple[str, ...] = ()

    @contextmanager
    def open_temporary(self, healed: Sequence[str] = ()) -> Iterator[tuple[FullImage, Selection]]:
        """Build a temporary image; yield it, and what it was built from.

        :param healed: paths to add to those of the traces.
        """
        options = replace(self.options, tag=None, sbom=(), debug=False)
        with make_temporary_folder() as folder:
            image = f"oci:{folder}/slim:latest"
            built = make([*self.traces], image, options, self.rerun, (*self.kept, *healed))
            opened = open_image(image)
            try:
                yield opened, built.selection
            finally:
                remove_own_copy(opened)

    def split_missing(
        self,
        found: tuple[MissingFile, ...],
        full: Root,
        trace: Trace,
        selection: Selection | None,
    ) -> tuple[tuple[MissingFile, ...], tuple[MissingFile, ...]]:
        """Missing files, and those that the build leaves out on purpose.

        :param trace: that of ``traces``.
        :param selection: what the image was built from; None if it is not known.
        """
        if not found:
            return (), ()
        if selection is None:  # only to explain omissions; nothing is built from it
            options = replace(self.options, allow_changed=True)
            selection = select(trace, full, options, rerun=self.rerun)
        excludes = [compile_glob(full, pattern) for pattern in self.options.exclude]
        found = explain_omissions(found, selection, excludes)
        missing = tuple(item for item in found if item.on_purpose is None)
        return missing, tuple(item for item in found if item.on_purpose is not None)

    def replace_image(self, image: str, healed: Sequence[str]) -> None:
        """Replace an image by the healed one, under the same name; the trace gets what it lacked.

        :param image: its reference.
        """
        if healed:
            append_healed(self.traces[0], healed)
        reference = parse_reference(image)
        options, tag = self.options, find_tag(reference)
        if tag is not None and reference.transport.syntax is Syntax.PATH_AND_TAG:
            image, tag = f"{image}:{tag}", None
        make([*self.traces], image, replace(options, tag=tag), self.rerun, self.kept)


def heal(
    first: _Found,
    examine_built: Callable[[Sequence[str]], _Found],
    *,
    may_lack_runs: bool = False,
) -> _Found:
    """Add missing files and examine again, round after round, in temporary images.

    Nothing is written to the traces.

    :param examine_built: examines a temporary image with these paths added.
    :param may_lack_runs: whether the image was built from other runs: to build it is a try, too.
    :returns: the last examination that was better, with the paths added up to then; ``first``
        where none was.
    """
    best, latest, added = first, first, dict[str, None]()
    rounds = 1
    while rounds < _MAX_ROUNDS:
        fresh = [item.path for item in latest.missing if item.path not in added]
        is_unbuilt = rounds == 1 and may_lack_runs and bool(latest.differences)
        if not fresh and not is_unbuilt:  # the image may lack whole runs of the trace
            break
        rounds += 1
        say(f"healing {len(fresh)} missing, round {rounds}")
        added.update(dict.fromkeys(fresh))
        latest = replace(examine_built([*added]), healed=tuple(added))
        if is_better(latest, best):
            best = latest
    if len(best.healed) < len(added):
        useless = len(added) - len(best.healed)
        say(f"adding {useless} missing did not help: left out of the image and the trace")
    return replace(best, rounds=rounds, is_rebuilt=best is not first)


def is_better(examined: Examination, other: Examination) -> bool:
    """Whether there are fewer differences, or as many and something is missing no more.

    New missing files do not count: an app that gets further may look for more.
    """
    if examined.differences < other.differences:
        return True
    missing = {item.path for item in examined.missing}
    is_found = any(item.path not in missing for item in other.missing)
    return is_found and examined.differences <= other.differences


def choose_kept(
    opened: FullImage, build: ImageBuild, full: Root, *, is_healed: bool
) -> tuple[str, ...]:
    """The files that a healed image has beside those of the traces; say what is not known of it."""
    if build.note is None:
        return ()
    if is_healed:
        say(f"{build.note}: healing keeps its files and adds to them, {build.healing}")
        return list_files(opened, full)
    if opened.config:
        say(build.note)
    return ()


def check_healing(image: str, source: str) -> None:
    """:raises UsageError: an image in this form cannot be written again."""
    if parse_reference(source).transport is Transport.ROOTFS:
        raise UsageError(
            f"cannot heal {image}: build writes only to a new or empty folder",
            "build it with slimtrace slim, which heals, or heal an image such as app.tar",
        )
    parse_destination(source)


def remove_own_copy(opened: FullImage) -> None:
    """Remove a slim image that only this command needed unpacked."""
    if opened.digest is not None and was_unpacked_here(opened.digest):
        remove_image(opened.digest)
