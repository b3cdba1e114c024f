"""Reads the extended attributes that belong to a file, not to the system that stores it."""

from __future__ import annotations

import os

_SYSTEM_PREFIXES = (
    "security.selinux",  # a label of the host's policy; the engine sets its own
    "security.evm",  # signs the inode's number
    "system.nfs",  # ACLs that the server translates
    "trusted.overlay.",  # overlayfs' own book-keeping
    "user.overlay.",
)


def is_system_xattr(name: str) -> bool:
    """Whether an attribute belongs to this system, and not into an image.

    In an image it could do harm: ``trusted.overlay.redirect`` redirects lookups below a directory
    to another one.
    """
    return name.startswith(_SYSTEM_PREFIXES)


def read_xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    """Read the attributes of ``path`` itself (listxattr(2), no symlink followed), sorted by name.

    Attributes that the file system lacks, or that this user may not read, are left out.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    kept = []
    for name in sorted(names):
        if is_system_xattr(name):
            continue
        try:
            kept.append((name, os.getxattr(path, name, follow_symlinks=False)))
        except OSError:  # an attribute that this user may not read
            continue
    return tuple(kept)
