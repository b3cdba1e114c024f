"""Readers of what comes from elsewhere, with inputs that coverage leads to new code (atheris).

Each harness runs for SLIMTRACE_FUZZ_SECONDS, or 15; what an input may do is told in the harness.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from parts import missing, need

if TYPE_CHECKING:
    from pathlib import Path

FUZZING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzzing.py")
SECONDS = int(os.environ.get("SLIMTRACE_FUZZ_SECONDS", "15"))
LONGEST = 120
"""Seconds that a planted fault takes to be found at most; few need more than ten."""
SEED = 20240501
HARNESSES = {"fuzz_layers": 300, "fuzz_images": 100, "fuzz_traces": 300}
"""How many inputs each tries at least, however slow the machine: more than its seeds."""


def fuzz(target: str, folder: Path, seconds: int) -> tuple[str, bytes | None]:
    """What libFuzzer said, and the input that failed."""
    if importlib.util.find_spec("atheris") is None:
        missing(f"atheris, which has no wheel for this Python {sys.version.split()[0]}")
    need("tar")
    options = [f"-max_total_time={seconds}", f"-seed={SEED}"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, FUZZING, target, str(folder), *options],
        check=False,
        capture_output=True,
        env=environment,
        timeout=seconds + 120,
    )
    said = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    failing = [
        path for path in folder.iterdir() if re.match("(crash|timeout|oom|leak)-", path.name)
    ]
    data = failing[0].read_bytes() if failing else None
    assert (done.returncode == 0) == (data is None), said[-3000:]
    return said, data


@pytest.mark.parametrize("harness", HARNESSES)
def test_no_input_does_what_none_may_do(harness: str, tmp_path: Path) -> None:
    said, failing = fuzz(harness, tmp_path, SECONDS)
    if failing is not None:
        what = said[said.find("=== Uncaught") :][:3000]
        pytest.fail(f"{harness}: {base64.b64encode(failing).decode()}\n{what}", pytrace=False)
    runs = re.search(r"Done (\d+) runs in", said)
    assert runs is not None, said[-3000:]
    assert int(runs[1]) > HARNESSES[harness]


@pytest.mark.parametrize(
    ("harness", "fault", "cause"),
    [
        ("fuzz_layers", "exception", "IndexError"),
        ("fuzz_layers", "out", "touched outside: "),
        ("fuzz_layers", "mode", "['mode']"),
        ("fuzz_images", "platform", "AttributeError"),
        ("fuzz_traces", "link", "touched outside: "),
    ],
)
def test_a_planted_fault_is_found(harness: str, fault: str, cause: str, tmp_path: Path) -> None:
    said, failing = fuzz(f"{harness}:{fault}", tmp_path, LONGEST)
    assert failing is not None, said[-3000:]
    assert cause in said[said.find("=== Uncaught") :]
