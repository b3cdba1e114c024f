"""Makes a second image for debugging: the slim one, with busybox beside the app."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import parse_elf, read_elf_info
from slimtrace.builder.config.image_config import ARCHITECTURES
from slimtrace.builder.images.reference import Syntax, Transport, split_name
from slimtrace.builder.model import BuildPart, Cause, Entry, Kind, Reason
from slimtrace.tracer.environment import DEFAULT_PATH
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import ImageConfig, Selection

FOLDER = "/busybox"
_CAUSES = (Cause(Reason.DEBUG, BuildPart("--debug")),)
_HINT = "install a static one for the image's architecture, as Debian's busybox-static"
_LATEST = "latest"


def add_busybox(
    selection: Selection, config: ImageConfig, program: str
) -> tuple[Selection, ImageConfig]:
    """Add busybox and its applets in ``/busybox``, which becomes the last directory in PATH.

    The app starts as before; ``podman run --entrypoint sh`` starts a shell.

    :param program: the busybox of this machine.
    :raises SlimtraceError: the app has a file at this path.
    """
    if FOLDER in selection.entries:
        raise SlimtraceError(
            f"cannot build the image for debugging: the app has a {FOLDER} of its own",
            "build without --debug",
        )
    status = os.stat(program)
    folder = Entry(FOLDER, Kind.DIRECTORY, 0o755, 0, 0, status.st_mtime_ns, causes=_CAUSES)
    binary = replace(folder, path=f"{FOLDER}/busybox", kind=Kind.FILE, size=status.st_size)
    link = replace(folder, kind=Kind.SYMLINK, mode=0o777, target="busybox")
    entries = {**selection.entries, FOLDER: folder, binary.path: replace(binary, source=program)}
    for path in (f"{FOLDER}/{name}" for name in _list_applets(program)):
        entries.setdefault(path, replace(link, path=path))
    env = dict(pair.split("=", 1) for pair in config.env)
    env["PATH"] = f"{env.get('PATH', DEFAULT_PATH)}:{FOLDER}"
    pairs = tuple(f"{name}={env[name]}" for name in sorted(env))
    return (
        replace(selection, entries=dict(sorted(entries.items()))),
        replace(config, env=pairs, comment="slimtrace: for debugging, with busybox"),
    )


def find_busybox(architecture: str) -> str:
    """Find the static busybox of this machine.

    :param architecture: the image's, a GOARCH name.
    :raises SlimtraceError: there is no busybox that runs in the image.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SlimtraceError("cannot build the image for debugging: there is no busybox", _HINT)
    program = os.path.realpath(busybox)
    try:
        with open(program, "rb") as file:
            elf = parse_elf(file, read_elf_info)
    except OSError as error:
        raise SlimtraceError(f"cannot read {program}: {error.strerror}", _HINT) from error
    if elf is None:
        raise SlimtraceError(f"cannot read {program}: it is no ELF program", _HINT)
    machine = elf.machine.lower()
    if elf.interpreter is not None:
        raise SlimtraceError(
            f"cannot build the image for debugging: {program} is not static", _HINT
        )
    if ARCHITECTURES.get(machine, machine) != architecture:
        raise SlimtraceError(
            f"cannot build the image for debugging: {program} is for {machine}, and the image for "
            f"{architecture}",
            _HINT,
        )
    return program


def make_debug_reference(reference: ImageReference) -> ImageReference:
    """Make the reference of the second image from that of the first.

    An image with a tag or a name in a registry or a store gets the tag with ``-debug`` (``debug``
    alone for ``latest``); an image in a file or a directory of its own gets a path with ``-debug``.
    """
    name, syntax = reference.name, reference.transport.syntax
    if name is not None:
        is_tag = syntax is Syntax.PATH_AND_TAG and ":" not in name
        name = _add_suffix_to_tag(name) if is_tag else _add_suffix_to_name(name)
    location = reference.location
    if syntax is not Syntax.NAME and not (reference.transport is Transport.OCI and name):
        location = _add_suffix_to_path(location)
    return replace(reference, location=location, name=name)


def _add_suffix_to_path(path: str) -> str:
    stem, ending = os.path.splitext(path.rstrip("/"))
    return f"{stem}-debug{ending}" if ending == ".tar" else f"{path.rstrip('/')}-debug"


def _add_suffix_to_name(name: str) -> str:
    parts = split_name(name)
    return f"{parts.repository}:{_add_suffix_to_tag(parts.tag or _LATEST)}"


def _add_suffix_to_tag(tag: str) -> str:
    return "debug" if tag == _LATEST else f"{tag}-debug"


def _list_applets(program: str) -> list[str]:
    try:
        done = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SlimtraceError(f"cannot list the applets of {program}: {error}", _HINT) from error
    return sorted({name for name in done.stdout.split() if "/" not in name})
