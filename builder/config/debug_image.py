"""A second image for those who look into it: the slim one with busybox beside the app."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import elf_info, parsed
from slimtrace.builder.closure.need import DEFAULT_PATH
from slimtrace.builder.config.image_config import ARCHITECTURES
from slimtrace.builder.images.skopeo import TRANSPORTS
from slimtrace.builder.model import Entry, Kind, Reason
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.model import ImageConfig, Selection

FOLDER = "/busybox"
_HINT = "install a static one for the image's architecture: Debian's busybox-static, for one"
_LATEST = "latest"


def with_busybox(
    selection: Selection, config: ImageConfig, program: str
) -> tuple[Selection, ImageConfig]:
    """The selection with busybox and its applets in ``/busybox``, which is last on the PATH.

    The app starts as before; a shell is had by ``podman run --entrypoint sh``.

    :param program: the busybox of this machine.
    :raises SlimtraceError: the app has something there.
    """
    if FOLDER in selection.entries:
        raise SlimtraceError(
            f"cannot build the image for debugging: the app has a {FOLDER} of its own",
            "build without --debug",
        )
    status = os.stat(program)
    folder = Entry(FOLDER, Kind.DIRECTORY, 0o755, 0, 0, status.st_mtime_ns, reasons=(Reason.DEBUG,))
    binary = replace(folder, path=f"{FOLDER}/busybox", kind=Kind.FILE, size=status.st_size)
    link = replace(folder, kind=Kind.SYMLINK, mode=0o777, target="busybox")
    entries = {**selection.entries, FOLDER: folder, binary.path: replace(binary, source=program)}
    for path in (f"{FOLDER}/{name}" for name in _applets(program)):
        entries.setdefault(path, replace(link, path=path))
    env = dict(pair.split("=", 1) for pair in config.env)
    env["PATH"] = f"{env.get('PATH', DEFAULT_PATH)}:{FOLDER}"
    words = tuple(f"{name}={env[name]}" for name in sorted(env))
    return (
        replace(selection, entries=dict(sorted(entries.items()))),
        replace(config, env=words, comment="slimtrace: for debugging, with busybox"),
    )


def find_busybox(architecture: str) -> str:
    """The static busybox of this machine.

    :param architecture: the image's, a GOARCH name.
    :raises SlimtraceError: there is none that runs in the image.
    """
    found = shutil.which("busybox")
    if found is None:
        raise SlimtraceError("cannot build the image for debugging: there is no busybox", _HINT)
    program = os.path.realpath(found)
    try:
        with open(program, "rb") as file:
            elf = parsed(file, elf_info)
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


def debug_destination(destination: str, tag: str | None) -> tuple[str, str | None]:
    """Where the second image goes, and how it is tagged, beside one that goes to ``destination``.

    An image that has a tag or a name in a registry or a store has it with ``-debug``
    (``debug`` alone for ``latest``); of a file or folder the name ends so.
    """
    tagged = None if tag is None else _name(tag)
    transport, colon, rest = destination.partition(":")
    for known in TRANSPORTS:
        if destination.startswith(known):
            return known + _name(destination.removeprefix(known)), tagged
    if not colon or "/" in transport:
        return _file(destination), tagged
    path, colon, reference = rest.partition(":")
    named = _name if transport == "docker-archive" or ":" in reference else _tag
    place = path if transport == "oci" and (reference or tag) else _file(path)
    return f"{transport}:{place}{colon}{named(reference) if reference else ''}", tagged


def _file(path: str) -> str:
    stem, ending = os.path.splitext(path.rstrip("/"))
    return f"{stem}-debug{ending}" if ending == ".tar" else f"{path.rstrip('/')}-debug"


def _name(reference: str) -> str:
    """``NAME`` or ``NAME:TAG``; a slash follows the colon of a registry's port."""
    name, colon, tag = reference.rpartition(":")
    return f"{name}:{_tag(tag)}" if colon and "/" not in tag else f"{reference}:{_tag(_LATEST)}"


def _tag(tag: str) -> str:
    return "debug" if tag == _LATEST else f"{tag}-debug"


def _applets(program: str) -> list[str]:
    try:
        done = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SlimtraceError(f"cannot ask {program} for its applets: {error}", _HINT) from error
    return sorted({name for name in done.stdout.split() if "/" not in name})
