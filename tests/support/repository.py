"""Paths of this checkout."""

from __future__ import annotations

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUPPORT = os.path.join(ROOT, "tests", "support")
TRACEES = os.path.join(ROOT, "tests", "tracees")
