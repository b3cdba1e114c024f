"""Which calls there are on the machines of a trace, and what libseccomp calls the machines."""

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
"""By uname(2)'s name: the machine's own ABI, then its 32-bit one, each as seccomp.h and as
system-calls name it."""


@dataclass(frozen=True, slots=True)
class Architectures:
    """The ABIs that a profile is for.

    :ivar architectures: as the runtime-spec names them (config-linux.md, seccomp).
    :ivar calls: the names of all their system calls.
    """

    architectures: tuple[str, ...]
    calls: frozenset[str]


def find_architectures(trace: Trace) -> Architectures:
    """The machines that the runs were on; their 32-bit ABIs only where a run used one.

    x32 is never among them: whatever calls by it is killed.

    :raises SlimtraceError: one is of a machine that is not known.
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
