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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.images.read.cache_inventory import CacheEntry, PruneResult

_CACHE_HELP = """
Examples:

  slimtrace cache

  slimtrace cache --prune

Full images are unpacked into $XDG_CACHE_HOME/slimtrace, by default ~/.cache/slimtrace.
"""


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the images that are not in use.")
    ] = False,
    json: shared.Json = False,
) -> None:
    """List or remove the cached full images."""
    from slimtrace.builder.images.read import cache_inventory  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.images.read.cache_layout import cache_folder  # noqa: PLC0415

    if prune:
        from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415

        with suppress(SlimtraceError):  # then the images of subordinate users stay
            become_root()
        _print_pruned(cache_inventory.prune(), json)
        return
    images = cache_inventory.list_images()
    if json:
        _print({"folder": cache_folder(), "images": [_make_document(image) for image in images]})
        return
    if not images:
        say(f"no images in {cache_folder()}")
        return
    for line in _render_table(images):
        print(line)


def _render_table(images: Sequence[CacheEntry]) -> list[str]:
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing
    from rich.text import Text  # noqa: PLC0415

    from slimtrace.tracer.stdout import make_table, render  # noqa: PLC0415

    rows = []
    for image in images:
        used = datetime.fromtimestamp(image.used).astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append((image.digest, decimal(image.size), used, Text(" ".join(image.sources))))
    return render(make_table(rows, right=(1,)))


def _print_pruned(pruned: PruneResult, json: bool) -> None:
    if json:
        _print({"removed": list(pruned.removed), "in_use": list(pruned.in_use)})
        return
    say(f"removed {len(pruned.removed)} images")
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
