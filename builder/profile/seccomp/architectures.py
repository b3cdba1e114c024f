"""The system calls of a trace's machines, and libseccomp's names for the machines."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.tracer.trace.trace import Trace

_MACHINES = {
    "x86_64": (("SCMP_ARCH_X86_64", "x86_64"), ("SCMP_ARCH_X86", "i386")),
    "aarch64": (("SCMP_ARCH_AARCH64", "arm64"), ("SCMP_ARCH_ARM", "arm")),
}
"""uname(2)'s machine to its native ABI and its 32-bit ABI: the name in seccomp.h, and the name in
the package system-calls."""


@dataclass(frozen=True, slots=True)
class Architectures:
    """The ABIs that a profile is for.

    :ivar architectures: by the names of the runtime-spec (config-linux.md, seccomp).
    :ivar calls: the names of all their system calls.
    """

    architectures: tuple[str, ...]
    calls: frozenset[str]


def find_architectures(trace: Trace) -> Architectures:
    """The ABIs of the machines that the runs were on; a 32-bit ABI only if a run used it.

    x32 is never among them: seccomp kills a process that uses it.

    :raises SlimtraceError: a run was on a machine that slimtrace does not know.
    """
    abis: list[tuple[str, str]] = []
    for machine in sorted({run.machine for run in trace.runs}, reverse=True):
        if machine not in _MACHINES:
            raise SlimtraceError(
                f"cannot make a profile for {machine}: its calls are not known",
                f"trace on one of {', '.join(sorted(_MACHINES))}",
            )
        abis += _MACHINES[machine][: 2 if trace.is_narrow else 1]
    calls = frozenset[str]().union(*(_load_calls(abi) for _, abi in abis))
    return Architectures(tuple(name for name, _ in abis), calls)


def _load_calls(abi: str) -> frozenset[str]:
    module = import_module(f"system_calls.tables.{abi}")
    return frozenset(getattr(module, f"syscalls_{abi}"))
