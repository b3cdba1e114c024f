"""Records what a process uses when attach seizes it: program, open files, mappings, directory.

psutil does not serve here. Its ``open_files`` takes as long, but lists only regular files that
exist at their path in our root: no directory, device or fifo, and no file of another mount
namespace. Its ``memory_maps`` reads smaps, which takes 20 times as long as maps.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.process.root_view import is_directory
from slimtrace.tracer.trace.trace import PathState, Use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.tracer.decode.decoder import Decoder

_FILE_FIELD = 5  # of a line of /proc/PID/maps (proc(5)): address perms offset dev inode pathname


def record_open_files(process: int, image: int, decoder: Decoder) -> None:
    """Record them as touched: nobody saw how each was opened."""
    recorder = decoder.recorder
    recorder.record_gap(
        "attached",
        f"what {procfs.read_program_name(process)} did before is known by what it holds alone",
    )
    if recorder.view.has_other_root(process):
        decoder.resolver.own_roots = True
    touches: list[tuple[Use, PathState]] = []
    for use, name, path in (*_links(process), *_mappings(process)):
        if name is not None and not magic_links.is_same_file(name, path):
            recorder.record_gap(
                "foreign-root", f"{os.fsdecode(path)} is in another mount namespace"
            )
            continue
        place = decoder.resolver.look_up(process, path, follow=True)
        if place.status is not None:
            is_folder = is_directory(place.status) and use is Use.READ
            touches.append((Use.LIST if is_folder else use, place))
    recorder.record_touches(image, touches)


def _links(process: int) -> Iterator[tuple[Use, bytes, bytes]]:
    """Use, magic link and path of the program, the directory and each open file."""
    for use, link in ((Use.EXEC, b"exe"), (Use.CHDIR, b"cwd")):
        name = b"/proc/%d/%s" % (process, link)
        path = magic_links.read_link(name)
        if path is not None:
            yield use, name, path
    for number in _descriptors(process):
        name = b"/proc/%d/fd/%s" % (process, number)
        path = magic_links.read_link(name)
        if path is not None:
            yield _use(process, number), name, path


def _descriptors(process: int) -> list[bytes]:
    try:
        return os.listdir(b"/proc/%d/fd" % process)
    except OSError:
        return []


def _use(process: int, number: bytes) -> Use:
    flags = procfs.read_open_flags(process, int(number))
    if flags is None:
        return Use.READ
    if flags & os.O_PATH:
        return Use.STAT
    return Use.WRITE if flags & os.O_ACCMODE == os.O_WRONLY else Use.READ


def _mappings(process: int) -> Iterator[tuple[Use, None, bytes]]:
    """The files that are mapped into memory, such as the program's libraries."""
    try:
        with open(f"/proc/{process}/maps", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    paths = {fields[_FILE_FIELD] for line in lines if len(fields := line.split(maxsplit=5)) > 5}
    for line_path in sorted(paths):
        path = line_path.replace(b"\\012", b"\n")
        if path.startswith(b"/") and not path.endswith(b" (deleted)"):
            yield Use.READ, None, path
