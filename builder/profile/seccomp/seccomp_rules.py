"""The rules of a seccomp profile, each with its reason."""

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
"""All flags of clone(2) for a new namespace (sched.h). The flags are its first argument on all
machines that slimtrace knows."""
PERSONAS = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Arguments of personality(2) that engines allow: PER_LINUX, PER_LINUX32, each with UNAME26, and
the query."""
INTERNET = frozenset({int(socket.AF_INET), int(socket.AF_INET6)})
USUAL = frozenset({int(socket.AF_UNIX), int(socket.AF_NETLINK), *INTERNET})
"""Families to allow if a trace does not say which ones the app used."""

_USES_SOCKETS = frozenset({"bind", "connect", "listen", "socket", "socketcall"})
_RINGS = frozenset({"io_uring_setup", "io_uring_enter", "io_uring_register"})
_FILTERED = frozenset({"clone", "clone3", "personality", "socket"}) | _RINGS


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    """A rule's condition on an argument: ``argument & mask == value``.

    :ivar index: of the argument, from 0.
    :ivar mask: None for all bits.
    """

    index: int
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class SeccompRule:
    """Calls to allow, or to fail with an errno.

    :ivar why: a comment for readers of the profile.
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
    """Make the rules for the traced runs. A call is in the first rule with a reason for it.

    :param known: the calls that the machine has; others are left out.
    :param also: calls to allow with any arguments.
    :param no_new_privileges: containers will run with it, so runtimes need fewer calls.
    """
    runtimes = RUNTIME_CALLS if no_new_privileges else RUNTIME_CALLS | PRIVILEGED_RUNTIME_CALLS
    requested = frozenset(also)
    assumed = HOT if trace.has_unseen_syscalls else frozenset()
    reasons = (
        (requested, "allowed by --allow"),
        (frozenset(trace.observed_syscalls) - _FILTERED, "the app called them"),
        (assumed - _FILTERED, "assumed: the trace does not record them"),
        (runtimes - _FILTERED, "runc and crun need them before the app starts"),
        (COMMON_CALLS - _FILTERED, "any program may need them"),
    )
    rules: list[SeccompRule] = []
    given = frozenset[str]()
    for names, why in reasons:
        new = (names & known) - given
        given |= new
        if new:
            rules.append(SeccompRule(tuple(sorted(new)), why))
    return (
        *rules,
        *(rule for rule in _make_filters(trace, known) if rule.names[0] not in requested),
    )


def find_families(trace: Trace) -> frozenset[int]:
    """The address families that sockets may have.

    IPv4 and IPv6 always go together: the network decides between them, not the app.
    """
    families = frozenset(trace.arguments.get("socket", ()))
    attached = any(gap.kind == "attached" for run in trace.runs for gap in run.gaps)
    is_unknown = not families and not _USES_SOCKETS.isdisjoint(trace.observed_syscalls)
    if attached or is_unknown:
        families |= USUAL
    return families | INTERNET if families & INTERNET else families


def _make_filters(trace: Trace, known: frozenset[str]) -> Iterator[SeccompRule]:
    """The rules that depend on arguments."""
    observed = frozenset(trace.observed_syscalls)
    for family in sorted(find_families(trace)):
        yield SeccompRule(
            ("socket",), f"sockets of {name_family(family)}", test=ArgumentTest(0, family)
        )
    used = 0
    for flags in trace.arguments.get("clone", ()):
        used |= flags
    why = "no new namespace" if not used else f"only new namespaces that the app made: {used:#x}"
    yield SeccompRule(("clone",), why, test=ArgumentTest(0, 0, CLONE_NEW & ~used))
    yield SeccompRule(
        ("clone3",), "its flags are in memory: libraries use clone instead", errno=ENOSYS
    )
    if "personality" in observed:
        for persona in PERSONAS:
            yield SeccompRule(
                ("personality",), "the usual personalities", test=ArgumentTest(0, persona)
            )
    if rings := tuple(sorted(_RINGS & observed & known)):
        yield SeccompRule(rings, "refused as under the tracer: apps do without", errno=ENOSYS)


def name_family(family: int) -> str:
    """Its name, such as ``AF_INET``; its number if Python has no name for it."""
    try:
        return socket.AddressFamily(family).name
    except ValueError:
        return str(family)
