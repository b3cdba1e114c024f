"""Remembers which names the run created, moved or linked, without access to any file."""

from __future__ import annotations

from slimtrace.tracer.paths import is_below

Inode = tuple[int, int]
"""st_dev and st_ino (stat(2))."""


class Renames:
    """The names of one run.

    A name is the absolute path of a directory entry in the app's root. All symlinks in it are
    resolved except the last component. ``moved`` has directories only: a file is copied before it
    moves.

    :ivar created: names that the run created, also by moving something there.
    :ivar moved: the current name of a directory of the full image → its name in the full image.
        Its content moved with it, except what has its own entry.
    """

    def __init__(self) -> None:
        self.created: set[bytes] = set()
        self.moved: dict[bytes, bytes] = {}
        self._linked: dict[Inode, bytes] = {}

    def create(self, name: bytes) -> None:
        """The run creates something that did not exist."""
        self.created.add(name)

    def is_created(self, name: bytes) -> bool:
        """Whether the run created this name, or a directory above it."""
        return name in self.created or is_below(name, self.created)

    def move(self, old: bytes, new: bytes, *, is_original: bool) -> bool:
        """A directory moves, with all below it.

        :param is_original: whether the full image has it, under this name or another.
        :returns: whether it returns to its name in the full image.
        """
        origins = self._take(old, is_original=is_original)
        self._take(new, is_original=False)
        self._put(new, origins)
        return origins.get(b"") == new

    def exchange(self, one: bytes, other: bytes, are_original: tuple[bool, bool]) -> None:
        """Two names are exchanged; at least one is a directory (renameat2(2)).

        :param are_original: for each, whether the full image has it, under this name or another.
        """
        origins_of_one = self._take(one, is_original=are_original[0])
        origins_of_other = self._take(other, is_original=are_original[1])
        self._put(one, origins_of_other)
        self._put(other, origins_of_one)

    def delete(self, name: bytes, *, is_created_file: bool) -> None:
        """A name is deleted.

        :param is_created_file: whether it was a regular file that the run created. A directory
            stays in ``created``: what is created below it later belongs to the run, too.
        """
        self._take(name, is_original=False)
        if is_created_file:
            self.created.discard(name)

    def find_origin(self, name: bytes) -> bytes | None:
        """Return the name in the full image of what is at ``name``; None if it was not moved."""
        directory = name
        while directory:
            origin = self.moved.get(directory)
            if origin is not None:
                return origin + name[len(directory) :]
            directory = directory[: directory.rfind(b"/")]
        return None

    def link(self, inode: Inode, name: bytes) -> None:
        """A file of the full image gets a second name; ``name`` is the first."""
        self._linked[inode] = name

    def find_linked_name(self, inode: Inode) -> bytes | None:
        """Return the name in the full image of a file to which the run added a name."""
        return self._linked.get(inode)

    def _take(self, name: bytes, *, is_original: bool) -> dict[bytes, bytes]:
        """Remove the entries of ``name`` and of everything below it from ``moved``.

        :returns: path below ``name`` → name in the full image. ``name`` itself is in it, as
            ``b""``, if the full image has it.
        """
        origin = (self.find_origin(name) or name) if is_original else None
        below = [new for new in self.moved if new.startswith(name + b"/")]
        origins = {new[len(name) :]: self.moved.pop(new) for new in below}
        self.moved.pop(name, None)
        return origins if origin is None else {b"": origin, **origins}

    def _put(self, name: bytes, origins: dict[bytes, bytes]) -> None:
        for path, origin in origins.items():  # a directory comes before its content
            new = name + path
            if origin != (self.find_origin(new) or new):
                self.moved[new] = origin
