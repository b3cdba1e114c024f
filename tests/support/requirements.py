"""What a test needs from the machine it runs on: missing means skipped, but never so in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def skip_missing(what: str) -> NoReturn:
    """Skip the test, saying what is missing; in CI, where all should be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing here: {what}", pytrace=False)
    pytest.skip(f"missing here: {what}")


def need(*tools: str) -> None:
    """Skip the test (fail in CI) unless every one of these programs is on the PATH."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        skip_missing(", ".join(absent))


def need_root() -> None:
    """Skip the test unless it runs as root, which not even CI has to."""
    if os.geteuid() != 0:
        pytest.skip("missing here: root")
