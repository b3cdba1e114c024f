"""The folder of a repeated run's commands: where their relative files are, and a copy of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.namespaces import (
    CLONE_FS,
    CLONE_NEWNS,
    MS_BIND,
    MS_REC,
    MS_SLAVE,
    mount,
    unshare,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CommandFolder:
    """What commands on the host see in one repeated run.

    :ivar path: the directory in which they run.
    :ivar places: folders of this machine, and what is shown there instead.
    """

    path: str
    places: Mapping[str, str]

    def enter(self) -> None:
        """Show the copies to this thread and to the commands that it starts; nobody else sees them.

        Where mounts are not allowed, commands run in the copy at its own path.

        :raises OSError: the directory cannot be entered.
        """
        try:
            unshare(CLONE_NEWNS)  # of this thread alone, with its working directory (unshare(2))
            mount("none", "/", flags=MS_REC | MS_SLAVE)
        except OSError:
            unshare(CLONE_FS)
            os.chdir(self.places.get(self.path, self.path))
            return
        for place in sorted(self.places, key=lambda path: path.count("/")):  # inner ones later
            mount(self.places[place], os.path.realpath(place), flags=MS_BIND | MS_REC)
        os.chdir(self.path)
