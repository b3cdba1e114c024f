"""The files of the cache of unpacked images, below the user's cache folder.

``images/ALGORITHM/HEX[.OWNERS]`` is an image, ``files/IDENTITY`` the digest of the image in a
tarball, ``scratch/`` is for temporary files. Beside each is its lock (``….lock``) and, while it is
made or removed, ``….tmp``.
"""

from __future__ import annotations

import glob
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.builder.images.unpack.owners import find_owners
from slimtrace.builder.images.write.atomic import remove_on_error, temporary_name
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    from collections.abc import Generator


def cache_folder() -> str:
    """``$XDG_CACHE_HOME/slimtrace``; a relative XDG_CACHE_HOME is ignored (basedir-spec)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "slimtrace")


def image_folder(digest: str) -> str:
    """The path of an image that this user's processes unpack."""
    algorithm, _, value = digest.partition(":")
    mode = find_owners()
    name = f"{value}.{mode}" if mode else value
    return os.path.join(cache_folder(), "images", algorithm, name)


def find_paths(*patterns: str) -> list[str]:
    """The paths in the cache that match a glob pattern, without temporary ones."""
    top = glob.escape(cache_folder())
    paths = [path for each in patterns for path in sorted(glob.glob(os.path.join(top, each)))]
    return [path for path in paths if not path.endswith(".tmp")]


def make_folders(folder: str) -> None:
    """Make a folder of the cache that only its user can enter.

    An image may contain old setuid programs, with holes that are known by now.
    """
    os.makedirs(os.path.dirname(cache_folder()), exist_ok=True)
    for path in (cache_folder(), folder):
        os.makedirs(path, 0o700, exist_ok=True)


@contextmanager
def temporary_folder(folder: str) -> Generator[str]:
    """Make a folder; first remove the one that a killed process left there.

    It is removed when the block ends, unless it was renamed.
    """
    remove_tree(folder)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        remove_tree(folder)


def replace_file(path: str, data: bytes) -> None:
    """Replace a file by rename. It is not synced: a crash of the system can damage it."""
    temporary = temporary_name(path)
    with remove_on_error(temporary):
        with open(temporary, "xb") as file:
            file.write(data)
        os.rename(temporary, path)


def boot_id() -> str:
    """The id of this boot of the system (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
