"""What is known of process images: what each runs, and of execs that are to make one."""

from __future__ import annotations

from typing import NamedTuple

Inode = tuple[int, int]


class Program(NamedTuple):
    """What a process image runs: the file that the exec was to run, and the kernel's words."""

    inode: Inode | None
    exe: bytes | None
    argv: tuple[str, ...]


class PastImage(NamedTuple):
    """What a process ran before an exec, and when that was known to be over.

    Until then another thread may have made children that run what was before.
    """

    image: int
    moment: int | None


class PendingExec(NamedTuple):
    """An exec under way.

    :ivar code: where the call returns to if it fails: memory that a new program has not.
    :ivar expected: what the process will run, where that is known beforehand.
    :ivar stack: where the stack was before, if the new program may look as the old one.
    :ivar moment: when it began, in the order of births.
    """

    caller: int
    previous: int | None
    path: bytes
    inode: Inode | None
    code: int
    expected: Program | None
    stack: bytes | None
    since: float
    moment: int | None
