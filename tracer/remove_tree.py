"""Removes directory trees of any depth, whatever the modes of their directories."""

from __future__ import annotations

import os

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str) -> None:
    """Remove a directory and all in it; nothing where it is not there.

    Nobody else works in it. shutil.rmtree(3) has a stack of Python's for every level, and stops at
    a directory that its owner may not list.

    :raises OSError: something cannot be removed.
    """
    try:
        fd = _enter(path, None)
    except FileNotFoundError:
        return
    names: list[str] = []
    try:
        pending = [_empty(fd)]
        while pending:
            if pending[-1]:
                name = pending[-1].pop()
                inner = _enter(name, fd)
                os.close(fd)
                fd = inner
                names.append(name)
                pending.append(_empty(fd))
                continue
            pending.pop()
            if names:
                above = os.open("..", _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = above
                os.rmdir(names.pop(), dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(path)


def _enter(name: str, above: int | None) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=above)
        return os.open(name, _FOLDER, dir_fd=above)


def _empty(fd: int) -> list[str]:
    """Remove what is no directory; the names of those."""
    folders = []
    with os.scandir(fd) as children:
        found = [(child.name, child.is_dir(follow_symlinks=False)) for child in children]
    if found and os.geteuid() != 0:
        os.fchmod(fd, 0o700)
    for name, is_folder in found:
        if is_folder:
            folders.append(name)
        else:
            os.unlink(name, dir_fd=fd)
    return folders
