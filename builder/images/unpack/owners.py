"""How far this process can give files the owners that an image has for them."""

from __future__ import annotations

import os
from enum import StrEnum

_ALL_IDS = (1 << 32) - 1


class Owners(StrEnum):
    """What becomes of owners; the value marks unpacked images of that kind.

    :cvar KEPT: they are as the image has them.
    :cvar MAPPED: they are subordinate ids, as a user namespace maps them (user_namespaces(7)).
    :cvar OWN: all is the one user's who unpacked it.
    """

    KEPT = ""
    MAPPED = "mapped"
    OWN = "own"


def find_owners() -> Owners:
    """What this process can do."""
    if os.geteuid() != 0:
        return Owners.OWN
    with open("/proc/self/uid_map") as file:
        ids = sum(int(line.split()[2]) for line in file)
    if ids >= _ALL_IDS:
        return Owners.KEPT
    return Owners.MAPPED if ids > 1 else Owners.OWN
