"""The app inherits everything that slimtrace inherited, and nothing of slimtrace itself."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from traces import SECONDS, command, environment, read_first_line, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Trace

    Slimtrace = Callable[..., subprocess.CompletedProcess[str]]

EVERY_BYTE = bytes(range(256)) * 512


def test_standard_streams_are_untouched(tmp_path: Path) -> None:
    script = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.stderr.write('E')"
    done = subprocess.run(
        command("-q", "run", "-o", f"{tmp_path}/x", "--", sys.executable, "-c", script),
        check=False,
        input=EVERY_BYTE,
        capture_output=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert done.returncode == 0
    assert done.stdout == EVERY_BYTE
    assert done.stderr == b"E"


@pytest.mark.parametrize("closed", ["0", "1", "2", "01", "02", "12", "012"])
def test_closed_streams_stay_closed(tmp_path: Path, closed: str) -> None:
    """No file of slimtrace gets descriptor 0, 1 or 2, which the app would use as its own."""
    script = "for i in 0 1 2; do if [ -e /proc/self/fd/$i ]; then echo $i >>open; fi; done"
    argv = command("run", "-o", "x.trace", "--", "bash", "-c", f"echo out 2>/dev/null; {script}")
    closing = " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", *argv],
        check=False,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert done.returncode == 0
    assert done.stdout == ("" if "1" in closed else "out\n")
    pattern = r"" if "2" in closed else r"slimtrace: wrote x.trace: \d+ files, complete, in .* s\n"
    assert re.fullmatch(pattern, done.stderr)
    still_open = (tmp_path / "open").read_text().split() if closed != "012" else []
    assert still_open == [number for number in "012" if number not in closed]
    assert show(str(tmp_path / "x.trace"))["runs"][0]["complete"] is True


def test_the_app_inherits_nothing_of_slimtrace(traced: Trace) -> None:
    """It has the same descriptors, signals, limits and environment as without tracing."""
    script = (
        "ls -1 /proc/self/fd | wc -l; "
        "grep -E '^(Sig(Blk|Ign|Cgt)|Seccomp_filters)' /proc/self/status | cut -f 2; "
        "ulimit -a; env | grep -v -e ^_= -e ^OLDPWD= | sort; pwd; umask"
    )
    run = traced(["bash", "-c", script])
    native = subprocess.run(
        ["bash", "-c", script],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=run.directory,
        env=environment(),
    )
    actual, expected = run.stdout.splitlines(), native.stdout.splitlines()
    differing = [(a, b) for a, b in zip(actual, expected, strict=True) if a != b]
    assert differing in ([], [("1", "0")]), "at most one additional filter"


@pytest.mark.parametrize(
    "option",
    ["--ignore-signal=CHLD", "--ignore-signal=HUP", "--block-signal=TERM", "--block-signal"],
)
def test_signals_that_the_caller_blocked_or_ignored(tmp_path: Path, option: str) -> None:
    """The app inherits them. If SIGCHLD is ignored, no child can be waited for (wait(2))."""
    inner = ["grep", "Sig[BI]", "/proc/self/status", "/no/such/file"]
    words = command("-q", "run", "-o", f"{tmp_path}/x", "--", *inner)
    native, under = (
        subprocess.run(
            ["env", option, *argv],
            check=False,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=SECONDS,
        )
        for argv in (inner, words)
    )
    assert (under.returncode, under.stderr) == (2, native.stderr)
    assert under.stdout == native.stdout
    assert show(f"{tmp_path}/x")["runs"][0]["exit_status"] == 2


def test_a_reader_that_closes_the_pipe_ends_the_app_as_untraced(tmp_path: Path) -> None:
    trace = str(tmp_path / "x.trace")
    done = read_first_line(command("-q", "run", "-o", trace, "--", "yes"))
    assert (done.stdout, done.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")
    about = show(trace)["runs"][0]
    assert (about["signal"], about["complete"]) == (signal.SIGPIPE, True)


def test_a_low_limit_of_descriptors(tmp_path: Path) -> None:
    command_line = shlex.join(
        command("-q", "run", "-o", f"{tmp_path}/x", "--", "bash", "-c", "ulimit -n")
    )
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 16; {command_line}"],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "16\n", "")


def test_a_trace_contains_no_secret_of_the_environment(
    slimtrace: Slimtrace, tmp_path: Path
) -> None:
    """Only variables on the allowlist are recorded; secrets are in other variables."""
    trace = tmp_path / "x.trace"
    env = environment(DATABASE_URL="postgres://u:hunter2@db/", HIDDEN="hunter2", PORT="8080")
    done = slimtrace("run", "-o", str(trace), "--", "sh", "-c", "echo $HIDDEN", env=env)
    assert (done.returncode, done.stdout) == (0, "hunter2\n"), "the app must have it"
    content = trace.read_text()
    assert "hunter2" not in content
    assert '"PORT":"8080"' in content
