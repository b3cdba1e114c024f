"""The command ``cache``: parse, call one function, print."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.text import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.images.read.cache_inventory import CacheEntry, PruneResult

_CACHE_HELP = """
Examples:

  slimtrace cache

  slimtrace cache --prune

Images are unpacked into $XDG_CACHE_HOME/slimtrace, by default ~/.cache/slimtrace. When the cache
has more than a tenth of its disk, or more than it leaves free, the least recently used images are
removed. SLIMTRACE_MAX_CACHE_SIZE sets another limit, in bytes.
"""


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the images that are not in use.")
    ] = False,
    json: shared.Json = False,
) -> None:
    """List or remove the cached images."""
    from slimtrace.builder.images.read import cache_inventory  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.images.read.cache_layout import cache_folder  # noqa: PLC0415
    from slimtrace.builder.images.read.cache_limit import find_limit  # noqa: PLC0415

    if prune:
        from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415

        with suppress(SlimtraceError):  # then the images of subordinate users stay
            become_root()
        _print_pruned(cache_inventory.prune(), json)
        return
    images = cache_inventory.list_images()
    size = sum(image.size for image in images)
    limit = find_limit(size)
    if json:
        entries = [_make_document(image) for image in images]
        _print({"folder": cache_folder(), "size": size, "limit": limit, "images": entries})
        return
    if not images:
        say(f"no images in {cache_folder()}")
        return
    for line in _render_table(images):
        print(line)
    count = format_count(len(images), "image")
    say(f"{count}, {_format(size)}: the cache may grow to {_format(limit)}")


def _render_table(images: Sequence[CacheEntry]) -> list[str]:
    from rich.text import Text  # noqa: PLC0415 -- --help pays nothing

    from slimtrace.tracer.stdout import make_table, render  # noqa: PLC0415

    rows = []
    for image in images:
        used = datetime.fromtimestamp(image.used).astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append((image.digest, _format(image.size), used, Text(" ".join(image.sources))))
    return render(make_table(rows, right=(1,)))


def _format(size: int) -> str:
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing

    return str(decimal(size))


def _print_pruned(pruned: PruneResult, json: bool) -> None:
    if json:
        _print(pruned._asdict())
        return
    say(f"removed {format_count(len(pruned.removed), 'image')}: freed {_format(pruned.freed)}")
    for folder in pruned.in_use:
        say(f"kept {folder}: it is in use")


def _make_document(image: CacheEntry) -> dict[str, object]:
    used = datetime.fromtimestamp(image.used, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "digest": image.digest,
        "owners": image.owners or "kept",
        "size": image.size,
        "last_used": used,
        "sources": list(image.sources),
        "folder": image.folder,
    }


def _print(document: object) -> None:
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


cache.__doc__ = f"{cache.__doc__}\n{_CACHE_HELP}"
