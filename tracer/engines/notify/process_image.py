"""Facts about process images: what each runs, and the execs that may create the next one."""

from __future__ import annotations

from typing import NamedTuple

Inode = tuple[int, int]


class Program(NamedTuple):
    """What a process image runs: the file given to the exec, and what /proc shows after it."""

    inode: Inode | None
    exe: bytes | None
    argv: tuple[str, ...]


class PastImage(NamedTuple):
    """What a process ran before an exec, and when we knew that the exec was over.

    Until then another thread may have forked children that run the earlier image.
    """

    image: int
    moment: int | None


class PendingExec(NamedTuple):
    """An exec of which it is not known yet whether it succeeds.

    :ivar code: the address where the call returns if it fails; a new program has no memory there.
    :ivar expected: what the process will run, where that is known in advance.
    :ivar stack: where the stack began before, if the new program may look like the old one.
    :ivar moment: when it began, as BirthOrder.now().
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
