"""Libraries that are built for one kind of CPU. The variant for every CPU is kept beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

_LEGACY = frozenset({"tls", "haswell", "xeon_phi", "avx512_1", "x86_64", "i586", "i686", "sse2"})
"""Subdirectories that loaders before glibc 2.37 searched too (ld.so(8), hardware capabilities)."""


def find_baseline_variant(root: Root, path: str) -> tuple[Need, ...]:
    """Find the baseline variant of the library at ``path``; empty if it has none.

    The loader opens this variant on another CPU.
    """
    folder, _, name = path.rpartition("/")
    above, _, last = folder.rpartition("/")
    plain = folder
    if above.endswith("/glibc-hwcaps"):
        plain = above.removesuffix("/glibc-hwcaps")
    elif last in _LEGACY:
        while plain.rpartition("/")[2] in _LEGACY:
            plain = plain.rpartition("/")[0]
    if plain == folder:
        return ()
    own = root.resolve(f"{plain}/{name}")
    if not own.exists or root.kind(own.path) is not Kind.FILE:
        return ()
    return (Need(f"{plain}/{name}", Reason.BASELINE_LIBRARY, load=True),)
