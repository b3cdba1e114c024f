"""Links a Java runtime by running the full image's own jlink in the full image."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.images.read.full_image_source import FullImage
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.temporary_folder import make_temporary_folder
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.services import Rerun

_OUTPUT_FOLDER = "/slimtrace-jlink"
_MAX_SECONDS = 600.0
"""A repeated run may take ten times as long as the traced one; no link takes that long."""


class JavaRuntime(NamedTuple):
    """The output of jlink.

    :ivar modules: the bytes of ``lib/modules``; ``release`` those of ``release``.
    :ivar files: the paths of all files, relative to JAVA_HOME.
    """

    modules: bytes
    release: bytes
    files: frozenset[str]


@lru_cache(maxsize=8)
def link_runtime(root: str, home: str, modules: tuple[str, ...], rerun: Rerun) -> JavaRuntime:
    """Link these modules and the modules that they require.

    Not compressed: a JVM starts faster, and layers are compressed anyway. Without
    ``--strip-debug``: stack traces keep their lines, and the output is the same each time. With it
    the output differs, because jlink orders its plugins by identity hashes.

    :param root: the full image's tree, whose JAVA_HOME is ``home``.
    :param rerun: runs jlink in the full image.
    :raises SlimtraceError: jlink fails.
    """
    say(f"linking a Java runtime of {', '.join(modules)}")
    is_live = root == "/"
    with make_temporary_folder() as folder:
        place = folder if is_live else _OUTPUT_FOLDER
        shown = () if is_live else (f"{folder}:{_OUTPUT_FOLDER}",)
        jmods = f"{home}/jmods"
        path = ("--module-path", jmods) if os.path.isdir(root.rstrip("/") + jmods) else ()
        command = (
            *(f"{home}/bin/jlink", *path, "--add-modules", ",".join(modules)),
            *("--no-header-files", "--no-man-pages", "--output", f"{place}/runtime"),
        )
        status = _run(rerun, root, command, shown, f"{folder}/trace")
        top = f"{folder}/runtime"
        if status != 0 or not os.path.isfile(f"{top}/lib/modules"):
            raise SlimtraceError(
                f"cannot link a Java runtime: {home}/bin/jlink failed: exit status {status}",
                None if path else f"it may need {jmods}, which the full image lacks",
            )
        files = frozenset(os.path.relpath(name, top) for name in _walk_files(top))
        return JavaRuntime(_read_bytes(f"{top}/lib/modules"), _read_bytes(f"{top}/release"), files)


def _run(
    rerun: Rerun, root: str, command: tuple[str, ...], shown: tuple[str, ...], trace: str
) -> int | None:
    """Run a command as root in the full image, and return its exit status."""
    image = FullImage(f"rootfs:{root}", None, root, None, {})
    run = Run(
        command,
        cwd="/",
        user="0:0",
        env={},
        image=image.source,
        image_digest=None,
        started="",
        machine=platform.machine(),
        engine="",
        seconds=_MAX_SECONDS / 10,
    )
    changes = RerunOptions(outputs=shown)
    rerun(image, run, trace, changes, is_default=False, user="0:0", below=None)
    return read_trace(trace).runs[-1].exit_status


def _walk_files(top: str) -> Iterator[str]:
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.join(folder, name)


def _read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
