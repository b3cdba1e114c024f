"""A verification that a signal ends: no verdict, no further round, no files left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from roots import busybox_root
from traces import SECONDS, command, environment, run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A shell in the foreground obeys SIGINT only when the program that it waits for has ended.
JOB = "#!/bin/sh\nread -r n </given/n\necho x >>/given/seen\nsleep $n & wait $!\ncat /app/$n\n"


def _ran(folder: Path) -> bool:
    return (folder / "given/seen").read_text() != ""


def _builds(folder: Path) -> bool:
    return any(name.startswith("slimtrace-") for name in os.listdir(folder / "tmp"))


@pytest.mark.parametrize(
    ("number", "when"),
    [(signal.SIGINT, _ran), (signal.SIGTERM, _ran), (signal.SIGTERM, _builds)],
)
def test_it_ends_with_the_signal(
    tmp_path: Path, number: signal.Signals, when: Callable[[Path], bool]
) -> None:
    for name in ("given", "tmp"):
        (tmp_path / name).mkdir()
    busybox_root(tmp_path / "full", {"app/job": JOB, "app/0": "", "app/60": "", "given/n": ""})
    (tmp_path / "given/n").write_text("0\n")
    env = environment(XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(tmp_path / "tmp"))
    where = ("--image", f"rootfs:{tmp_path}/full", "-v", f"{tmp_path}/given:/given")
    for argv in (
        ("run", "-o", "a.trace", *where, "--", "/app/job"),
        ("run", "-o", "a.trace", "--append", *where, "--", "/app/job"),
        ("build", "a.trace", "-o", "app.tar"),
    ):
        done = run_slimtrace("-q", *argv, cwd=str(tmp_path), env=env)
        assert done.returncode == 0, done.stderr
    built = (tmp_path / "app.tar").read_bytes()
    (tmp_path / "given/n").write_text("60\n")
    (tmp_path / "given/seen").write_text("")
    verify = ("-q", "verify", "app.tar", "--trace", "a.trace", "--heal", "--volumes", "shared")
    pipe = subprocess.PIPE
    process = subprocess.Popen(command(*verify), cwd=tmp_path, env=env, stderr=pipe, text=True)
    deadline = time.monotonic() + SECONDS
    while not when(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:  # and leave nothing for the tests after this one
        process.kill()
        process.wait(SECONDS)  # not for the end of its output: the app may have it too
        raise
    assert (process.returncode, errors) == (
        128 + number,
        f"slimtrace: cannot verify app.tar: {number.name} ended it\n",
    )
    assert len((tmp_path / "given/seen").read_text().split()) <= 1
    assert os.listdir(tmp_path / "tmp") == []
    assert (tmp_path / "app.tar").read_bytes() == built
