"""Checks whether slimtrace supports this system."""

from __future__ import annotations

import platform

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.syscalls.abi import MACHINES

NOTIFY_SINCE = (5, 5)  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_OLDEST_KERNEL = (5, 3)  # PTRACE_GET_SYSCALL_INFO


def check_platform() -> None:
    """:raises SlimtraceError: this is not Linux, the kernel is too old, or the machine unknown."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux":
        raise SlimtraceError(
            f"cannot trace on {system}: slimtrace needs Linux", "run it in a Linux container"
        )
    if machine not in MACHINES:
        known = ", ".join(sorted(MACHINES))
        raise SlimtraceError(f"cannot trace on {machine}: slimtrace knows {known}")
    if kernel_version() < _OLDEST_KERNEL:
        release = platform.release()
        raise SlimtraceError(f"cannot trace on Linux {release}: 5.3 or later is needed")


def kernel_version() -> tuple[int, int]:
    """Major and minor, of a release as ``6.1.0-28-amd64`` or ``7.0-rc1``."""
    major, minor = platform.release().split(".")[:2]
    return int(major), int(minor.split("-")[0])
