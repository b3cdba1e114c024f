"""The capabilities that a container's root has, and no more (capabilities(7))."""

from __future__ import annotations

from tracer.kernel.namespaces import drop_from_bounding_set

_KEPT = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31))
"""What containers/common keeps for root: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID,
SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP (linux/capability.h)."""


def keep_containers_set() -> None:
    """Put all others out of reach of what this process will exec.

    :raises OSError: EPERM without CAP_SETPCAP.
    """
    for capability in range(64):
        if capability not in _KEPT and not drop_from_bounding_set(capability):
            return
