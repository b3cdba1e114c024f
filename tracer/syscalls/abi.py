"""Call numbers for each ABI that this machine's kernel can run, from the package system-calls.

python-ptrace has such tables too, but none for x32 and arm, no call newer than its own release,
and other names than the kernel for 50 calls of i386 (52, umount2, is its ``umount``). A test
compares ours with its prototypes.

The audit arch (linux/audit.h) names the ABI in a notification; x32 shares x86_64's and sets
bit 30 of the number (``__X32_SYSCALL_BIT``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.kernel.bpf import Condition, FirstHasAnyOf, FirstIsOneOf, IsNotNull
from slimtrace.tracer.syscalls.classes import HOT
from slimtrace.tracer.syscalls.table import (
    BIRTH,
    CLONE_NEW,
    EXIT,
    HANDLER,
    NAMESPACES,
    NARROW_SIGNATURES,
    REAPER,
    SEND,
    SIGNATURES,
    CallMeaning,
    Signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_AARCH64 = 0xC00000B7
AUDIT_ARCH_ARM = 0x40000028

_ABIS = {
    "x86_64": (
        ("x86_64", AUDIT_ARCH_X86_64),
        ("x32", AUDIT_ARCH_X86_64),
        ("i386", AUDIT_ARCH_I386),
    ),
    "aarch64": (("arm64", AUDIT_ARCH_AARCH64), ("arm", AUDIT_ARCH_ARM)),
}
MACHINES = frozenset(_ABIS)
_NARROW = ("i386", "arm")

_CONDITIONS: Mapping[CallMeaning, Condition] = {
    # socket, bind, connect, listen, sendto (linux/net.h)
    CallMeaning.SOCKETCALL: FirstIsOneOf((1, 2, 3, 4, 11)),
    CallMeaning.NAMESPACES: FirstHasAnyOf(CLONE_NEW),
    CallMeaning.HANDLER: IsNotNull(1),
    CallMeaning.REAPER: FirstIsOneOf((36,)),  # PR_SET_CHILD_SUBREAPER
    CallMeaning.SEND: IsNotNull(4),
}
"""When to stop a call, for those that are not stopped always."""
_REMOVED = {"x86_64": {"uselib": 134}, "i386": {"uselib": 86}, "arm": {"uselib": 86}}
"""Calls of older kernels (until Linux 6.16) that system-calls no longer lists."""
_NOTED = Signature(CallMeaning.NOTED)


class Call(NamedTuple):
    """A call of one ABI: name and how to read it. ``wide`` is the size of a pointer in bytes."""

    name: str
    signature: Signature
    wide: int


def read_call_numbers(abi: str) -> Mapping[str, int]:
    """Names to numbers of one ABI, as system-calls knows it: i386, x32, x86_64, arm, arm64."""
    table: Mapping[str, int] = getattr(
        import_module(f"system_calls.tables.{abi}"), f"syscalls_{abi}"
    )
    return {**table, **_REMOVED.get(abi, {})}


def select_calls(
    machine: str,
    *,
    handlers: bool = False,
    reapers: bool = False,
    births: bool = False,
    exits: bool = False,
    hot: bool = False,
) -> dict[int, Call]:
    """The calls that the filter stops, by arch<<32|number as in a notification's third u64.

    :param handlers: also calls that install a signal handler.
    :param reapers: also the call by which a process becomes a subreaper.
    :param births: also calls that may create a child which ptrace does not follow.
    :param exits: also the calls that end threads and processes.
    :param hot: every call that exists.
    :raises KeyError: for a machine that is not in MACHINES.
    """
    unstopped = frozenset[str]() if hot else HOT
    extra = {"sendto": SEND, "clone": NAMESPACES}
    extra |= {"rt_sigaction": HANDLER} if handlers else {}
    extra |= {"prctl": REAPER} if reapers else {}
    extra |= {"clone": BIRTH, "clone3": BIRTH} if births else {}
    extra |= {"exit": EXIT, "exit_group": EXIT} if exits else {}
    return {
        arch << 32 | number: Call(
            name, extra.get(name) or _signature(name, abi), 4 if abi in _NARROW else 8
        )
        for abi, arch in _ABIS[machine]
        for name, number in read_call_numbers(abi).items()
        if name not in unstopped or name in extra
    }


def _signature(name: str, abi: str) -> Signature:
    own = NARROW_SIGNATURES.get(name) if abi in _NARROW else None
    return own or SIGNATURES.get(name, _NOTED)


def group_by_arch(calls: Mapping[int, Call]) -> dict[int, dict[int, Condition | None]]:
    """The calls as input for the filter: numbers by audit arch, each with its condition."""
    by_arch: dict[int, dict[int, Condition | None]] = {}
    for key, call in calls.items():
        condition = _CONDITIONS.get(call.signature.meaning)
        by_arch.setdefault(key >> 32, {})[key & 0xFFFFFFFF] = condition
    return by_arch
