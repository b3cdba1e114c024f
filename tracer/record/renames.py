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
    :ivar moved: where a directory of the full image is now → where the full image has it.
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

    def move(self, old: bytes, new: bytes) -> bool:
        """A directory of the full image moves.

        :returns: whether it comes back to where the full image has it.
        """
        origin = self.origin(old) or old
        self._forget_moves(old)
        self._forget_moves(new)
        if origin == new:
            self.created.discard(new)
            return True
        self.moved[new] = origin
        return False

    def exchange(self, one: bytes, other: bytes) -> None:
        """Two names exchange what they name: directories, one of them at least (renameat2(2))."""
        origin_of_one, origin_of_other = self.origin(one) or one, self.origin(other) or other
        for name, origin in ((one, origin_of_other), (other, origin_of_one)):
            self._forget_moves(name)
            if name != origin:
                self.moved[name] = origin

    def delete(self, name: bytes, *, is_created_file: bool) -> None:
        """A name is deleted.

        :param is_created_file: whether it named a regular file that the run made. A directory
            stays among the created: what is made below it later is the run's, too.
        """
        self._forget_moves(name)
        if is_created_file:
            self.created.discard(name)

    def origin(self, name: bytes) -> bytes | None:
        """Where the full image has what is at ``name``; None where it was not moved."""
        for new, old in self.moved.items():
            if name == new or name.startswith(new + b"/"):
                return old + name[len(new) :]
        return None

    def link(self, inode: Inode, name: bytes) -> None:
        """A file of the full image gets another name; ``name`` is the one that it had."""
        self._linked[inode] = name

    def linked_name(self, inode: Inode) -> bytes | None:
        """The full image's name of a file that the run gave another one."""
        return self._linked.get(inode)

    def _forget_moves(self, name: bytes) -> None:
        """Whatever was moved to ``name``, or below it, is there no more."""
        for new in [new for new in self.moved if (new + b"/").startswith(name + b"/")]:
            del self.moved[new]
