"""Which owners of files this process can set."""

from __future__ import annotations

import os
from enum import StrEnum

_ALL_IDS = (1 << 32) - 1


class Owners(StrEnum):
    """The owners of an unpacked image's files; the value is part of its folder's name.

    :cvar KEPT: those in the image.
    :cvar MAPPED: subordinate ids, as a user namespace maps them (user_namespaces(7)).
    :cvar OWN: the user who unpacked it owns all.
    """

    KEPT = ""
    MAPPED = "mapped"
    OWN = "own"


def find_owners() -> Owners:
    """Find out which owners this process can set."""
    if os.geteuid() != 0:
        return Owners.OWN
    with open("/proc/self/uid_map") as file:
        ids = sum(int(line.split()[2]) for line in file)
    if ids >= _ALL_IDS:
        return Owners.KEPT
    return Owners.MAPPED if ids > 1 else Owners.OWN
