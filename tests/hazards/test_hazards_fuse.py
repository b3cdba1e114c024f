"""A FUSE file system that the app itself serves: if the tracer accessed it, both would wait."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hazards import UNSUPPORTED_STATUS
from repository import TRACEES
from requirements import need, need_root

if TYPE_CHECKING:
    from conftest import Trace

PROGRAM = os.path.join(TRACEES, "file_server.py")
UNSHARE = ("unshare", "--mount")


@pytest.mark.parametrize(
    ("prefix", "inner"),
    [(UNSHARE, ()), ((), UNSHARE)],
    ids=["in the tracer's mounts", "in its own mounts"],
)
def test_an_app_that_serves_files_to_itself(
    traced: Trace, prefix: tuple[str, ...], inner: tuple[str, ...]
) -> None:
    need_root()
    need("unshare")
    argv = [*inner, os.path.realpath(sys.executable), PROGRAM, "at", "backing"]
    run = traced(argv, tree={"at/": "", "backing/file": ""}, prefix=prefix)
    if run.status == UNSUPPORTED_STATUS:
        pytest.skip("no /dev/fuse here")
    assert (run.status, run.stdout) == (0, "0\n")
    assert "file-server" in run.gaps()
    assert run.run["complete"] is False
    assert run.touches()["backing/file"] == "file stat"
