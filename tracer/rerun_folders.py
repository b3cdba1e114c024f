"""The folders of this machine that a repeated run uses: volumes, and where its commands run."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.console import detail, say
from slimtrace.tracer.drive.command_folder import CommandFolder
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.image.runtime import parse_volume, split_volume
from slimtrace.tracer.sandbox.private_folders import PrivateFolders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.image.runtime import Volume
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.trace.trace import Run


class _Mount(NamedTuple):
    """A volume of a repeated run.

    :ivar before: its files as they were before the run was traced, at this path; None if they
        were not kept, or another folder takes the volume's place.
    :ivar is_output: whether it is never a copy.
    """

    volume: Volume
    before: str | None = None
    is_output: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether the app cannot change it, or is meant to."""
        return self.volume.read_only or self.is_output


@contextmanager
def prepare_folders(
    run: Run, changes: RerunOptions
) -> Iterator[tuple[tuple[Volume, ...], CommandFolder | None]]:
    """Yield the volumes to mount, and the folder of the run's commands on the host, if it has any.

    Commands see a copy of the folder in which they ran, at the same path. The app's volumes are
    in it: what one side writes there, the other side finds.

    :raises SlimtraceError: a volume does not exist on this machine, or cannot be copied.
    """
    mounts = _list_mounts(run, changes)
    has_commands = run.drive_options is not None and run.drive_options.has_host_commands
    is_copied = changes.copies_volumes and not all(mount.is_constant for mount in mounts)
    if not has_commands and not is_copied:
        yield tuple(mount.volume for mount in mounts), None
        return
    with PrivateFolders() as folders:
        directory = _prepare_directory(folders, run, mounts) if has_commands else None
        volumes = tuple(_prepare_volume(folders, mount, changes) for mount in mounts)
        folder = None if directory is None else CommandFolder(directory, folders.places)
        yield volumes, folder


def _list_mounts(run: Run, changes: RerunOptions) -> list[_Mount]:
    """List the traced run's volumes, except where ``changes`` has another for the same target.

    :raises SlimtraceError: the host path of a volume does not exist on this machine.
    """
    mounts: dict[str, _Mount] = {}
    for option in run.mounts:
        volume = split_volume(option)
        before = run.before.get(volume.target) if changes.copies_volumes else None
        if before is not None and not os.path.exists(before):
            before = None
        mounts[volume.target] = _Mount(volume, before)
    for text in changes.volumes:
        volume = parse_volume(text)
        known = mounts.get(volume.target)
        is_same = known is not None and known.volume.source == volume.source
        mounts[volume.target] = _Mount(volume, known.before if known and is_same else None)
    for mount in mounts.values():
        source, target = mount.volume.source, mount.volume.target
        if mount.before is None and not os.path.exists(source):
            raise SlimtraceError(
                f"cannot mount {target}: {source} does not exist on this machine",
                f"mount something else there: --volume HOST:{target}",
            )
    outputs = [_Mount(parse_volume(text), is_output=True) for text in changes.outputs]
    return [*mounts.values(), *outputs]


def _prepare_volume(folders: PrivateFolders, mount: _Mount, changes: RerunOptions) -> Volume:
    volume = mount.volume
    if mount.is_output or not changes.copies_volumes:
        return volume._replace(source=folders.share(volume.source))
    kept = _find_kept_copy(changes.copies_folder, mount)
    try:
        copy = folders.copy(volume.source, mount.before, kept)
    except SlimtraceError as error:
        if volume.read_only:  # the app cannot change it
            return volume._replace(source=folders.share(volume.source))
        hint = f"repeat the runs on {volume.source} itself with --volumes shared, or mount another"
        more = f"; or {error.hint}" if error.hint else ""
        raise SlimtraceError(error.message, f"{hint} folder with --volume{more}") from error
    state = ", as it was before the run" if mount.before is not None else ""
    detail(f"{volume.target} is a copy of {volume.source}{state}")
    return volume._replace(source=copy)


def _find_kept_copy(folder: str | None, mount: _Mount) -> str | None:
    """Where the copy is kept for the following runs.

    A run begins with the state of its volume that was kept, else with what the run before left.
    """
    if folder is None:
        return None
    name = mount.before or os.path.realpath(mount.volume.source)
    return os.path.join(folder, hashlib.sha256(os.fsencode(name)).hexdigest())


def _prepare_directory(folders: PrivateFolders, run: Run, mounts: Sequence[_Mount]) -> str:
    """Make a copy of the directory of the run's commands, unless it is in a volume."""
    directory = _find_directory(run)
    sources = [os.path.realpath(mount.volume.source) for mount in mounts]
    if directory != "/" and not any(_is_in(directory, source) for source in sources):
        try:
            folders.copy(directory)
        except SlimtraceError as error:
            say(f"commands of --exec run in {directory} itself: {error.message}")
    return directory


def _find_directory(run: Run) -> str:
    """Where the run's commands find their relative files on this machine."""
    here = os.path.realpath(".")
    traced = run.drive_options.directory if run.drive_options is not None else None
    if traced is None or os.path.isdir(traced):
        return here if traced is None else os.path.realpath(traced)
    say(f"{traced} does not exist here: commands of --exec run in a copy of {here}")
    return here


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
