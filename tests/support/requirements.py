"""Programs that a test needs: if one is missing, the test is skipped; in CI it fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def skip_missing(what: str) -> NoReturn:
    """Skip the test and say what is missing; in CI, where nothing should be missing, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing here: {what}", pytrace=False)
    pytest.skip(f"missing here: {what}")


def need(*tools: str) -> None:
    """Skip the test (fail it in CI) unless all these programs are on the PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        skip_missing(", ".join(missing))


def need_root() -> None:
    """Skip the test unless it runs as root; CI may also run without root."""
    if os.geteuid() != 0:
        pytest.skip("missing here: root")
