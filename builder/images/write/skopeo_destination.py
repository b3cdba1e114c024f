"""Copies an image into podman's store or a registry, by skopeo."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.images.reference import ImageReference, Transport, split_name
from slimtrace.builder.images.skopeo import need_skopeo, run_skopeo, tls_options
from slimtrace.builder.images.write.kept_file import keep_as_file
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.temporary_folder import make_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Entry, Image
    from slimtrace.tracer.caution import Caution


@dataclass(frozen=True, slots=True)
class SkopeoDestination:
    """A name in a store or a registry that skopeo writes to (containers-transports(5))."""

    reference: ImageReference

    def __str__(self) -> str:
        return str(self.reference)

    @property
    def warnings(self) -> tuple[Caution, ...]:
        return ()

    def work_folder(self) -> str:
        return tempfile.gettempdir()

    def prepare(self) -> None:
        """Check that skopeo is installed, and that a registry takes what is written.

        :raises SlimtraceError: it is not, or the registry does not.
        """
        need_skopeo(
            f"cannot write {self}",
            "install skopeo, or write an archive that engines load: -o image.tar",
        )
        if self.reference.transport is Transport.REGISTRY:
            from slimtrace.builder.images.write.registry import Repository  # noqa: PLC0415 -- ssl takes its time

            name = split_name(self.reference.name or "").repository
            Repository(name, f"cannot write {self}").check_push()

    def write(self, image: Image, entries: Iterable[Entry]) -> None:
        """Copy the image; its digest stays the same where the transport allows it.

        :raises SlimtraceError: skopeo is missing or fails; its last line says why.
        """
        with make_temporary_folder() as folder:
            layout = OciLayout(f"{folder}/image", "image")
            layout.write(image, entries)
            tls = tls_options(self.reference, "dest-")
            try:
                argv = ["copy", "--quiet", *tls, str(layout), str(self)]
                run_skopeo(argv, f"cannot write {self}")
            except SlimtraceError as error:
                raise keep_as_file(image, self.reference, error) from error
