"""Builds of traces with failed runs: refused, with each of them named, unless allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from roots import busybox_root
from small_images import slimtrace_in
from traces import check_failure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``app.trace``: the run 1 went well, 2 and 3 failed."""
    job = "#!/bin/sh\necho $1; exit $1\n"
    busybox_root(tmp_path / "full", {"app/job": job})
    image = ("-q", "run", "--image", "rootfs:full", "-o", "app.trace", "--append", "--")
    for status in ("0", "3", "4"):
        assert slimtrace_in(tmp_path, *image, "/app/job", status).returncode == int(status)
    return tmp_path


def test_failed_runs(folder: Path) -> None:
    done = slimtrace_in(folder, "build", "app.trace", "-o", "app.tar")
    named = "run 2 (/app/job 3: exit status 3); run 3 (/app/job 4: exit status 4) failed"
    drop = "slimtrace merge app.trace --drop-run 2 -o app.trace --force"
    check_failure(done, 125, f"cannot build from app.trace: {named}", drop)
    assert not (folder / "app.tar").exists()

    built = slimtrace_in(folder, "-q", "build", "app.trace", "-o", "app.tar", "--allow-failed")
    assert built.returncode == 0, built.stderr

    merge = ("merge", "app.trace", "-o", "app.trace", "--force", "--drop-run", "2")
    assert slimtrace_in(folder, *merge, "--drop-run", "3").returncode == 0
    built = slimtrace_in(folder, "-q", "build", "app.trace", "-o", "good.tar")
    assert built.returncode == 0, built.stderr


def test_failed_runs_of_several_traces(folder: Path) -> None:
    slimtrace_in(folder, "merge", "app.trace", "-o", "good", "--drop-run", "2", "--drop-run", "3")
    done = slimtrace_in(folder, "build", "good", "app.trace", "-o", "app.tar")
    named = "run 2 of app.trace (/app/job 3: exit status 3); run 3 of app.trace"
    check_failure(done, 125, f"cannot build from app.trace: {named}", "--drop-run 2")
