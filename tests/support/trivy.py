"""A real vulnerability scanner; tests are skipped if it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import scanner
from requirements import need, skip_missing
from scanner import NoScannerError

if TYPE_CHECKING:
    from pathlib import Path

    from scanner import Scan


def scan(shared: Path, root: Path | str) -> Scan:
    """Scan a tree with trivy, which is fetched once for all workers."""
    need("npm")
    try:
        return scanner.scan(shared, root)
    except NoScannerError as error:
        skip_missing(str(error))
