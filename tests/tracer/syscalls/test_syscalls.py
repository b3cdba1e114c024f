"""Every system call of every ABI has one class, and its path arguments are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ptrace.syscall.prototypes import FILENAME_ARGUMENTS, SYSCALL_PROTOTYPES

from slimtrace.tracer.syscalls import abi
from slimtrace.tracer.syscalls.classes import HOT, PATH, PROCESS, RARE, classify
from slimtrace.tracer.syscalls.table import SIGNATURES, Follow

if TYPE_CHECKING:
    from collections.abc import Collection

ABIS = ("x86_64", "x32", "i386", "arm64", "arm")
CLASSES = {"path": PATH, "process": PROCESS, "rare": RARE, "hot": HOT}

# Calls with a path or a file's name (man pages, section 2): none may be in the class HOT.
HAVE_A_PATH = frozenset(
    """
    access acct bind chdir chmod chown chroot connect creat execve execveat faccessat faccessat2
    fanotify_mark fchdir fchmodat fchmodat2 fchownat fspick futimesat getxattr inotify_add_watch
    lchown lgetxattr link linkat listxattr llistxattr lremovexattr lsetxattr lstat mkdir mkdirat
    mknod mknodat mount mount_setattr move_mount name_to_handle_at newfstatat open open_by_handle_at
    open_tree openat openat2 pivot_root quotactl readlink readlinkat removexattr rename renameat
    renameat2 rmdir setxattr stat statfs statx swapoff swapon symlink symlinkat truncate umount2
    unlink unlinkat utime utimensat utimes
    """.split()  # noqa: SIM905 -- 80 quoted names would be read by nobody
)
# aarch64 does not have these calls; the C library uses the others instead.
REPLACEMENTS = {
    "faccessat": ("access",),
    "fchmodat": ("chmod",),
    "fchownat": ("chown", "lchown"),
    "linkat": ("link",),
    "mkdirat": ("mkdir",),
    "mknodat": ("mknod",),
    "newfstatat": ("lstat", "stat"),
    "openat": ("creat", "open"),
    "readlinkat": ("readlink",),
    "renameat": ("rename",),
    "symlinkat": ("symlink",),
    "unlinkat": ("rmdir", "unlink"),
    "utimensat": ("futimesat", "utime", "utimes"),
}
# Calls without a path that a correct trace needs.
CHANGES_WHAT_PATHS_MEAN = ("chroot", "pivot_root", "unshare", "setns", "mount", "fchdir")


@pytest.mark.parametrize("abi_name", ABIS)
def test_every_call_is_in_exactly_one_class(abi_name: str) -> None:
    """A call of a newer kernel fails here until a developer classifies it."""
    homes = {
        name: [label for label, names in CLASSES.items() if name in names]
        for name in abi.read_call_numbers(abi_name)
    }
    assert {name: found for name, found in homes.items() if len(found) != 1} == {}
    assert {name: [classify(name)] for name in homes} == homes


def test_every_classified_call_exists_in_a_kernel() -> None:
    known = {name for each in ABIS for name in abi.read_call_numbers(each)}
    for label, names in CLASSES.items():
        assert names - known == set(), label


@pytest.mark.parametrize(
    ("names", "classes"),
    [(HAVE_A_PATH, (PATH, PROCESS)), (CHANGES_WHAT_PATHS_MEAN, (PATH, PROCESS))],
)
def test_calls_that_must_be_stopped(
    names: Collection[str], classes: tuple[frozenset[str], ...]
) -> None:
    assert {name for name in names if not any(name in one for one in classes)} == set()


def test_python_ptrace_has_the_same_path_arguments() -> None:
    """Its prototypes name the arguments; a symlink's target is a string but not a touched path."""
    contents = {"symlink": {0}, "symlinkat": {0}, "getcwd": {0}}
    compared = 0
    for name, (_, arguments) in SYSCALL_PROTOTYPES.items():
        places = {
            index
            for index, (kind, argument) in enumerate(arguments)
            if "char" in kind and argument in FILENAME_ARGUMENTS
        } - contents.get(name, set())
        signature = SIGNATURES.get(name)
        ours = {argument.path for argument in signature.paths} if signature else set()
        if class_of_call := classify(name):
            assert places <= ours, (name, class_of_call)
            compared += bool(places)
    assert compared > 50


def test_no_call_that_waits_or_transfers_data_is_stopped() -> None:
    live_on = ("read", "write", "futex", "mmap", "epoll_wait", "poll", "ppoll", "nanosleep", "brk")
    assert set(live_on) <= HOT
    assert not HOT & set(SIGNATURES)


def test_an_unknown_call_has_no_class() -> None:
    assert classify("no_such_call") is None


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        # man page's argument numbers, from 0: (directory's descriptor, path, last link followed)
        ("open", [(None, 0, Follow.YES)]),
        ("openat", [(0, 1, Follow.YES)]),
        ("openat2", [(0, 1, Follow.YES)]),
        ("lstat", [(None, 0, Follow.NO)]),
        ("newfstatat", [(0, 1, Follow.UNLESS_NOFOLLOW)]),
        ("statx", [(0, 1, Follow.UNLESS_NOFOLLOW)]),
        ("readlinkat", [(0, 1, Follow.NO)]),
        ("unlink", [(None, 0, Follow.NO)]),
        ("symlink", [(None, 1, Follow.NO)]),
        ("symlinkat", [(1, 2, Follow.NO)]),
        ("link", [(None, 0, Follow.NO), (None, 1, Follow.NO)]),
        ("linkat", [(0, 1, Follow.IF_FOLLOW), (2, 3, Follow.NO)]),
        ("rename", [(None, 0, Follow.NO), (None, 1, Follow.NO)]),
        ("renameat2", [(0, 1, Follow.NO), (2, 3, Follow.NO)]),
        ("execveat", [(0, 1, Follow.YES)]),
        ("mount", [(None, 1, Follow.YES)]),
        ("fchdir", [(0, None, Follow.YES)]),
        ("inotify_add_watch", [(None, 1, Follow.YES)]),
        ("fanotify_mark", [(3, 4, Follow.YES)]),
        ("quotactl", [(None, 1, Follow.YES)]),
    ],
)
def test_the_path_arguments_of_a_call(
    name: str, paths: list[tuple[int | None, int | None, Follow]]
) -> None:
    assert [(p.dirfd, p.path, p.follow) for p in SIGNATURES[name].paths] == paths


@pytest.mark.parametrize("machine", sorted(abi.MACHINES))
def test_all_calls_that_are_not_hot_are_stopped(machine: str) -> None:
    stopped = abi.select_calls(machine)
    abis = {"x86_64": ABIS[:3], "aarch64": ABIS[3:]}[machine]
    for each in abis:
        names = {name for name in abi.read_call_numbers(each) if name not in HOT}
        stopped_names = {call.name for call in stopped.values()}
        assert names <= stopped_names
    assert {call.name for call in stopped.values()} & HOT == {"sendto", "clone"}, (
        "not stopped for every argument"
    )
    verdicts = abi.group_by_arch(stopped)
    assert {arch << 32 | number for arch, of in verdicts.items() for number in of} == set(stopped)


def test_a_call_means_the_same_on_aarch64() -> None:
    """It has the x86_64 calls under other numbers, except those that an ``…at`` call replaces."""
    theirs, ours = abi.read_call_numbers("x86_64"), abi.read_call_numbers("arm64")
    assert set(ours) - set(theirs) == set()
    lacking = (set(theirs) - set(ours)) & set(SIGNATURES)
    assert lacking == {"uselib", *(name for names in REPLACEMENTS.values() for name in names)}
    assert set(REPLACEMENTS) <= set(ours)
    stopped = abi.select_calls("aarch64")
    arch = abi.AUDIT_ARCH_AARCH64 << 32
    read = {name: stopped[arch | ours[name]] for name in (PATH | PROCESS) & set(ours)}
    assert {name: call.name for name, call in read.items()} == {name: name for name in read}
    assert {name for name, call in read.items() if call.signature != SIGNATURES[name]} == set()
    assert {call.wide for call in read.values()} == {8}
    assert stopped[abi.AUDIT_ARCH_ARM << 32 | 5].name == "open"
    assert stopped[abi.AUDIT_ARCH_ARM << 32 | 5].wide == 4


def test_x32_calls_carry_their_bit() -> None:
    """The calls open of x32 (0x40000002) and open of x86_64 (2) are not confused."""
    assert {number >> 30 for number in abi.read_call_numbers("x32").values()} == {1}
    stopped = abi.select_calls("x86_64")
    arch = abi.AUDIT_ARCH_X86_64 << 32
    assert stopped[arch | 2].name == "open"
    assert stopped[arch | 0x40000002].name == "open"
    assert stopped[abi.AUDIT_ARCH_I386 << 32 | 5].name == "open"
    assert stopped[abi.AUDIT_ARCH_I386 << 32 | 5].wide == 4
    assert arch | 5 not in stopped, "number 5 is fstat in x86_64"
