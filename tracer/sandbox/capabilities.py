"""The capabilities that a container's root has, and no more (capabilities(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.kernel.namespaces import drop_from_bounding_set
from slimtrace.tracer.rerun_options import normalize_capability

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
""".split()  # noqa: SIM905 -- by number (linux/capability.h)
_CONTAINERS = """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP
""".split()  # noqa: SIM905 -- what containers/common keeps for root
_ALL = "ALL"


def select_capabilities(dropped: Iterable[str], added: Iterable[str] = ()) -> frozenset[int]:
    """The capabilities of a container, by number.

    :param dropped: names with or without ``CAP_``, in any case; ``all`` leaves those in ``added``.
    :param added: likewise; ``all`` adds every one.
    :raises UsageError: there is no such capability, or one is both dropped and added.
    """
    without, more = _parse_names("--cap-drop", dropped), _parse_names("--cap-add", added)
    for name in sorted(without & more):
        raise UsageError(f"cannot use --cap-add {name}: --cap-drop has it, too")
    usual = set() if _ALL in without else {*_CONTAINERS}
    names = ({*_NAMES} if _ALL in more else usual | more) - without
    return frozenset(map(_NAMES.index, names))


def _parse_names(option: str, words: Iterable[str]) -> set[str]:
    """:raises UsageError: there is no such capability."""
    names = {word: normalize_capability(word) for word in words}
    for word, name in names.items():
        if name not in {*_NAMES, _ALL}:
            raise UsageError(
                f"cannot use {option} {word}: there is no such capability",
                "use all, or a name such as NET_BIND_SERVICE (capabilities(7))",
            )
    return {*names.values()}


def limit_capabilities(capabilities: frozenset[int]) -> None:
    """Drop all others from the bounding set, for all programs that this process executes.

    :raises OSError: EPERM without CAP_SETPCAP.
    """
    for capability in range(64):
        if capability not in capabilities and not drop_from_bounding_set(capability):
            return
