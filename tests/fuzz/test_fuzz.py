"""Coverage-guided fuzzing (atheris) of the readers of untrusted input.

Each harness makes a fixed number of runs from a fixed seed, so the speed of the machine changes
only the duration; SLIMTRACE_FUZZ_SECONDS sets a time limit instead, for a longer search. Each
harness describes what an input must not cause.
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
from requirements import need, skip_missing

if TYPE_CHECKING:
    from pathlib import Path

FUZZING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzzing.py")
SECONDS = os.environ.get("SLIMTRACE_FUZZ_SECONDS")
SEED = 20240501
HARNESSES = {"fuzz_layers": 1500, "fuzz_images": 800, "fuzz_traces": 1500}
"""Number of inputs for each: about ten seconds on an idle machine."""
MAX_RUNS_TO_A_FAULT = 10_000
"""Limit for an injected fault: from this seed, each is found within 600 runs."""
MAX_SECONDS = 600
"""Time limit of a run that hangs."""


def fuzz(target: str, folder: Path, bound: str) -> tuple[str, bytes | None]:
    """Fuzz until ``bound``, an option of libFuzzer; return its output and the input that failed."""
    if importlib.util.find_spec("atheris") is None:
        skip_missing(f"atheris, which has no wheel for this Python {sys.version.split()[0]}")
    need("tar")
    options = [bound, f"-seed={SEED}"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, FUZZING, target, str(folder), *options],
        check=False,
        capture_output=True,
        env=environment,
        timeout=MAX_SECONDS + int(SECONDS or 0),
    )
    output = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    failing = [
        path for path in folder.iterdir() if re.match("(crash|timeout|oom|leak)-", path.name)
    ]
    data = failing[0].read_bytes() if failing else None
    assert (done.returncode == 0) == (data is None), output[-3000:]
    return output, data


@pytest.mark.parametrize("harness", HARNESSES)
def test_no_input_breaks_a_property(harness: str, tmp_path: Path) -> None:
    bound = f"-runs={HARNESSES[harness]}" if SECONDS is None else f"-max_total_time={SECONDS}"
    output, failing = fuzz(harness, tmp_path, bound)
    if failing is not None:
        what = output[output.find("=== Uncaught") :][:3000]
        pytest.fail(f"{harness}: {base64.b64encode(failing).decode()}\n{what}", pytrace=False)
    runs = re.search(r"Done (\d+) runs in", output)
    assert runs is not None, output[-3000:]
    assert SECONDS is not None or int(runs[1]) >= HARNESSES[harness]


@pytest.mark.parametrize(
    ("harness", "fault", "cause"),
    [
        ("fuzz_layers", "exception", "IndexError"),
        ("fuzz_layers", "out", "touched outside: "),
        ("fuzz_layers", "mode", "['mode']"),
        ("fuzz_images", "platform", "AttributeError"),
        ("fuzz_traces", "look", "touched outside: "),
    ],
)
def test_an_injected_fault_is_found(harness: str, fault: str, cause: str, tmp_path: Path) -> None:
    output, failing = fuzz(f"{harness}:{fault}", tmp_path, f"-runs={MAX_RUNS_TO_A_FAULT}")
    assert failing is not None, output[-3000:]
    assert cause in output[output.find("=== Uncaught") :]
