"""Path arithmetic on bytes, as the kernel sees names: no encoding, no symlinks, no '..'."""

from __future__ import annotations

KERNELS = (b"/proc/", b"/dev/", b"/sys/")
"""What the kernel shows below these is no file of an image."""


def fold(path: bytes) -> bytes:
    """An absolute path without ``.`` and ``//``; ``..`` stays, for it may follow a symlink."""
    if b"//" not in path and b"/./" not in path and not path.endswith(b"/."):
        return path.rstrip(b"/") or b"/"
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    return b"/" + b"/".join(parts)


def join(base: bytes, name: bytes) -> bytes:
    """``name`` as seen from the directory ``base``, folded."""
    if name.startswith(b"/"):
        return fold(name)
    return fold(base + b"/" + name)


def parent(path: bytes) -> bytes:
    """The directory of a folded path; that of ``/`` is itself."""
    return path[: path.rfind(b"/")] or b"/"


def is_below(path: bytes, directories: set[bytes]) -> bool:
    """Whether any directory on the way to ``path`` is one of these: by components."""
    end = path.rfind(b"/")
    while end > 0:
        path = path[:end]
        if path in directories:
            return True
        end = path.rfind(b"/")
    return False
