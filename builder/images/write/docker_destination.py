"""Loads an image into Docker's store."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.images.reference import ImageReference, Transport
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.kept_file import keep_as_file
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.temporary_folder import make_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.images.docker_client import DockerClient
    from slimtrace.builder.model import Entry, Image
    from slimtrace.tracer.caution import Caution


@dataclass(frozen=True, slots=True)
class DockerDestination:
    """A name in the store of the daemon that ``docker`` uses.

    :ivar name: ``NAME:TAG``. An image that had it before loses it, and stays without a name.
    """

    name: str

    @property
    def _reference(self) -> ImageReference:
        return ImageReference(Transport.DOCKER_DAEMON, "", self.name)

    def __str__(self) -> str:
        return str(self._reference)

    @property
    def warnings(self) -> tuple[Caution, ...]:
        return ()

    def work_folder(self) -> str:
        return tempfile.gettempdir()

    def prepare(self) -> None:
        """Check that the daemon answers.

        :raises SlimtraceError: it does not.
        """
        self._connect().ping()

    def write(self, image: Image, entries: Iterable[Entry]) -> None:
        """Load the image, by an archive.

        :raises SlimtraceError: the daemon does not answer, or refuses it.
        """
        with make_temporary_folder() as folder:
            archive = Archive(ArchiveFormat.HYBRID, os.path.join(folder, "image.tar"), self.name)
            archive.write(image, entries)
            try:
                with open(archive.path, "rb") as file:
                    self._connect().load(file)
            except SlimtraceError as error:
                raise keep_as_file(image, self._reference, error) from error

    def _connect(self) -> DockerClient:
        from slimtrace.builder.images.docker_client import DockerClient  # noqa: PLC0415 -- ssl takes its time

        return DockerClient(f"cannot write {self}")
