"""Keeps a finished image as a file where its destination failed at the end."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from slimtrace.builder.images.reference import Transport, image_name, split_name
from slimtrace.builder.images.skopeo import tls_options
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import Image


def keep_as_file(image: Image, reference: ImageReference, error: SlimtraceError) -> SlimtraceError:
    """Write the image beside the user's files; return the error with the next step.

    :param reference: the destination that failed, which has a name.
    """
    parts = split_name(reference.name or "")
    name = f"{parts.repository}:{parts.tag or 'latest'}"
    path = _find_free_path(parts.repository.rpartition("/")[2])
    try:
        Archive(ArchiveFormat.HYBRID, path, image_name(name)).write(image, ())
    except SlimtraceError as second:
        return SlimtraceError(f"{error.message}; and {second.message}", error.hint)
    if reference.transport is Transport.DOCKER_DAEMON:
        command = f"docker load -i {path}"
    else:
        tls = " ".join(["", *tls_options(reference, "dest-")])
        command = f"skopeo copy{tls} oci-archive:{path} {reference}"
    step = f"the image is in {path}; to write it later: {command}"
    return SlimtraceError(error.message, f"{error.hint}; {step}" if error.hint else step)


def _find_free_path(name: str) -> str:
    """A name that nothing has, in the working directory, or in TMPDIR if that is not writable."""
    folder = "" if os.access(".", os.W_OK | os.X_OK) else tempfile.gettempdir()
    path, number = os.path.join(folder, f"{name}.tar"), 1
    while os.path.lexists(path):
        number += 1
        path = os.path.join(folder, f"{name}-{number}.tar")
    return path
