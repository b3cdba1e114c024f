"""What a seccomp profile allows, as rules: each with the reason why it is there."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from errno import ENOSYS
from typing import TYPE_CHECKING

from slimtrace.builder.profile.seccomp.required_calls import (
    COMMON_CALLS,
    PRIVILEGED_RUNTIME_CALLS,
    RUNTIME_CALLS,
)
from slimtrace.tracer.syscalls.classes import HOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.tracer.trace.trace import Trace

CLONE_NEW = 0x7E020000
"""Every flag by which clone(2) makes a namespace (sched.h); it is clone's first argument on all
machines that are known here."""
PERSONAS = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""personality(2) as engines allow it: PER_LINUX, PER_LINUX32, each with UNAME26, and a question."""
INTERNET = frozenset({int(socket.AF_INET), int(socket.AF_INET6)})
USUAL = frozenset({int(socket.AF_UNIX), int(socket.AF_NETLINK), *INTERNET})
"""Families that are allowed where a trace does not say which there were."""

_USES_SOCKETS = frozenset({"bind", "connect", "listen", "socket", "socketcall"})
_RINGS = frozenset({"io_uring_setup", "io_uring_enter", "io_uring_register"})
_FILTERED = frozenset({"clone", "clone3", "personality", "socket"}) | _RINGS


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    """What an argument must be for a rule to hold: ``argument & mask == value``.

    :ivar index: of the argument, from 0; ``mask`` None for all its bits.
    """

    index: int
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class SeccompRule:
    """Calls that are allowed, or answered with an errno.

    :ivar why: in words, for whoever reads the profile.
    """

    names: tuple[str, ...]
    why: str
    errno: int | None = None
    test: ArgumentTest | None = None


def make_rules(
    trace: Trace,
    known: frozenset[str],
    also: Iterable[str] = (),
    *,
    no_new_privileges: bool = False,
) -> tuple[SeccompRule, ...]:
    """The rules for what the runs did: a name stands in the first rule that it has a reason for.

    :param known: the calls that the machine has; others are left out.
    :param also: calls that are allowed whatever their arguments.
    :param no_new_privileges: containers will run with it, so that runtimes need less.
    """
    runtimes = RUNTIME_CALLS if no_new_privileges else RUNTIME_CALLS | PRIVILEGED_RUNTIME_CALLS
    asked = frozenset(also)
    assumed = HOT if trace.has_unseen_syscalls else frozenset()
    reasons = (
        (asked, "asked for"),
        (frozenset(trace.observed_syscalls) - _FILTERED, "the app was seen to"),
        (assumed - _FILTERED, "assumed: these were not looked at"),
        (runtimes - _FILTERED, "runc and crun, before the app"),
        (COMMON_CALLS - _FILTERED, "any program may come to"),
    )
    rules: list[SeccompRule] = []
    given = frozenset[str]()
    for names, why in reasons:
        new = (names & known) - given
        given |= new
        if new:
            rules.append(SeccompRule(tuple(sorted(new)), why))
    return (*rules, *(rule for rule in _make_filters(trace, known) if rule.names[0] not in asked))


def find_families(trace: Trace) -> frozenset[int]:
    """The address families that sockets may have.

    IPv4 and IPv6 stand for each other: which it is to be, the network says and not the app.
    """
    families = frozenset(trace.arguments.get("socket", ()))
    attached = any(gap.kind == "attached" for run in trace.runs for gap in run.gaps)
    is_unsaid = not families and not _USES_SOCKETS.isdisjoint(trace.observed_syscalls)
    if attached or is_unsaid:
        families |= USUAL
    return families | INTERNET if families & INTERNET else families


def _make_filters(trace: Trace, known: frozenset[str]) -> Iterator[SeccompRule]:
    """The rules for calls whose arguments count."""
    seen = frozenset(trace.observed_syscalls)
    for family in sorted(find_families(trace)):
        yield SeccompRule(
            ("socket",), f"sockets of {name_family(family)}", test=ArgumentTest(0, family)
        )
    made = 0
    for flags in trace.arguments.get("clone", ()):
        made |= flags
    without = "no new namespace" if not made else f"only the new namespaces seen: {made:#x}"
    yield SeccompRule(("clone",), without, test=ArgumentTest(0, 0, CLONE_NEW & ~made))
    yield SeccompRule(
        ("clone3",), "its flags lie in memory: libraries then use clone", errno=ENOSYS
    )
    if "personality" in seen:
        for persona in PERSONAS:
            yield SeccompRule(("personality",), "the usual ones", test=ArgumentTest(0, persona))
    if rings := tuple(sorted(_RINGS & seen & known)):
        yield SeccompRule(rings, "as under the tracer: the app goes on without", errno=ENOSYS)


def name_family(family: int) -> str:
    """As ``AF_INET``; the number where it has no name here."""
    try:
        return socket.AddressFamily(family).name
    except ValueError:
        return str(family)
