"""The folders of this machine that a repeated run uses: volumes, and where its commands run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.console import say
from slimtrace.tracer.drive.command_folder import CommandFolder
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox.private_folders import PrivateFolders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.image.runtime import Volume
    from slimtrace.tracer.trace.trace import Run


@contextmanager
def prepare_folders(
    run: Run, volumes: Sequence[Volume]
) -> Iterator[tuple[tuple[Volume, ...], CommandFolder | None]]:
    """Yield the volumes to mount, and the folder of the run's commands on the host, if it has any.

    Commands see a copy of the folder in which they ran, at the same path. The app's volumes are
    in it: what one side writes there, the other side finds.
    """
    if run.drive_options is None or not run.drive_options.commands:
        yield tuple(volumes), None
        return
    directory = _find_directory(run)
    with PrivateFolders() as folders:
        sources = [os.path.realpath(volume.source) for volume in volumes]
        if directory != "/" and not any(_is_in(directory, source) for source in sources):
            _copy_directory(folders, directory)
        shared = (volume._replace(source=folders.share(volume.source)) for volume in volumes)
        yield tuple(shared), CommandFolder(directory, folders.places)


def _find_directory(run: Run) -> str:
    """Where the run's commands find their relative files on this machine."""
    here = os.path.realpath(".")
    traced = run.drive_options.directory if run.drive_options is not None else None
    if traced is None or os.path.isdir(traced):
        return here if traced is None else os.path.realpath(traced)
    say(f"{traced} does not exist here: commands of --exec run in a copy of {here}")
    return here


def _copy_directory(folders: PrivateFolders, directory: str) -> None:
    try:
        folders.copy(directory)
    except SlimtraceError as error:
        say(f"commands of --exec run in {directory} itself: {error.message}")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
