"""Which names the run created, moved or linked: bookkeeping without a look at any file."""

from __future__ import annotations

from slimtrace.tracer.paths import is_below

Inode = tuple[int, int]
"""st_dev and st_ino (stat(2))."""


class Renames:
    """The names of one run.

    A name is a directory entry with every symlink resolved but the last component's, absolute in
    the app's root. Only directories are kept as moved: a file is put aside before it moves.

    :ivar created: names that the run made, also by moving something there.
    :ivar moved: where a directory of the full image is now → where the full image has it. What is
        below it moved with it, but for what has an entry of its own.
    """

    def __init__(self) -> None:
        self.created: set[bytes] = set()
        self.moved: dict[bytes, bytes] = {}
        self._linked: dict[Inode, bytes] = {}

    def create(self, name: bytes) -> None:
        """The run makes something where nothing was."""
        self.created.add(name)

    def is_created(self, name: bytes) -> bool:
        """Whether the run made this name, or a directory above it."""
        return name in self.created or is_below(name, self.created)

    def move(self, old: bytes, new: bytes, *, is_original: bool) -> bool:
        """A directory moves, with all below it.

        :param is_original: whether the full image has it, here or elsewhere.
        :returns: whether it comes back to where the full image has it.
        """
        origins = self._take(old, is_original=is_original)
        self._take(new, is_original=False)
        self._put(new, origins)
        return origins.get(b"") == new

    def exchange(self, one: bytes, other: bytes, are_original: tuple[bool, bool]) -> None:
        """Two names exchange what they name: directories, one of them at least (renameat2(2)).

        :param are_original: whether the full image has what they name, here or elsewhere.
        """
        origins_of_one = self._take(one, is_original=are_original[0])
        origins_of_other = self._take(other, is_original=are_original[1])
        self._put(one, origins_of_other)
        self._put(other, origins_of_one)

    def delete(self, name: bytes, *, is_created_file: bool) -> None:
        """A name is deleted.

        :param is_created_file: whether it named a regular file that the run made. A directory
            stays among the created: what is made below it later is the run's, too.
        """
        self._take(name, is_original=False)
        if is_created_file:
            self.created.discard(name)

    def origin(self, name: bytes) -> bytes | None:
        """Where the full image has what is at ``name``; None where it was not moved."""
        directory = name
        while directory:
            origin = self.moved.get(directory)
            if origin is not None:
                return origin + name[len(directory) :]
            directory = directory[: directory.rfind(b"/")]
        return None

    def link(self, inode: Inode, name: bytes) -> None:
        """A file of the full image gets another name; ``name`` is the one that it had."""
        self._linked[inode] = name

    def linked_name(self, inode: Inode) -> bytes | None:
        """The full image's name of a file that the run gave another one."""
        return self._linked.get(inode)

    def _take(self, name: bytes, *, is_original: bool) -> dict[bytes, bytes]:
        """Forget what was moved to ``name`` and below it.

        :returns: the origin of each, by its path below ``name``; of ``name`` itself, if the full
            image has it.
        """
        origin = (self.origin(name) or name) if is_original else None
        below = [new for new in self.moved if new.startswith(name + b"/")]
        origins = {new[len(name) :]: self.moved.pop(new) for new in below}
        self.moved.pop(name, None)
        return origins if origin is None else {b"": origin, **origins}

    def _put(self, name: bytes, origins: dict[bytes, bytes]) -> None:
        for path, origin in origins.items():  # a directory before what is below it
            new = name + path
            if origin != (self.origin(new) or new):
                self.moved[new] = origin
