"""``slimtrace cache``: what is kept of full images."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.images.read.image_cache import CacheEntry, PruneResult

_HELP = """
Examples:

  slimtrace cache

  slimtrace cache --prune
"""


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the images that nothing uses now.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the full images that are kept unpacked in $XDG_CACHE_HOME/slimtrace, or remove them."""
    from slimtrace.builder.images.read import image_cache as kept  # noqa: PLC0415 -- --help pays nothing

    if prune:
        from slimtrace.tracer.host.rootless import become_root  # noqa: PLC0415

        with suppress(SlimtraceError):  # then only the images of subordinate users stay
            become_root()
        _pruned(kept.prune(), json)
        return
    images = kept.listing()
    if json:
        _print({"folder": kept.cache_folder(), "images": [_document(image) for image in images]})
        return
    if not images:
        say(f"no images in {kept.cache_folder()}")
        return
    for line in _table(images):
        print(line)


def _table(images: Sequence[CacheEntry]) -> list[str]:
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing
    from rich.text import Text  # noqa: PLC0415

    from slimtrace.tracer.stdout import make_table, render  # noqa: PLC0415

    rows = []
    for image in images:
        used = datetime.fromtimestamp(image.used).astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append((image.digest, decimal(image.size), used, Text(" ".join(image.sources))))
    return render(make_table(rows, right=(1,)))


def _pruned(pruned: PruneResult, json: bool) -> None:
    if json:
        _print({"removed": list(pruned.removed), "in_use": list(pruned.in_use)})
        return
    say(f"removed {len(pruned.removed)} images")
    for folder in pruned.in_use:
        say(f"kept {folder}: it is in use")


def _document(image: CacheEntry) -> dict[str, object]:
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


cache.__doc__ = f"{cache.__doc__}\n{_HELP}"
