"""Runs probes: starts a slim image and requests something that no traced run did."""

from __future__ import annotations

import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from commands import run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sample import Probe, Sample


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a probe: whether it was as expected, and the output or body of the answer."""

    worked: bool
    output: str


def run_probe(sample: Sample, probe: Probe, image: str, volumes: Sequence[str]) -> Answer:
    """Start the image, make the request, and stop the image.

    ``run --image`` starts it: that needs no container engine, and gives the app what an engine
    gives. Its trace is deleted.

    :param volumes: values for ``--volume``.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 -- the app may be another user
        argv = ["-q", "run", "--image", image, "-o", f"{folder}/trace", "--ready-timeout", "60"]
        for volume in volumes:
            argv += ["-v", volume]
        done = run_slimtrace(
            *argv, *_make_drive_options(sample, probe, folder), "--", *probe.command
        )
        if probe.get is None and probe.exec is None:
            output = done.stdout + done.stderr
            worked = done.returncode == 0 and probe.says in done.stdout + output
            return Answer(worked, output)
        answer = Path(folder) / "answer"
        output = answer.read_text(errors="replace") if answer.exists() else done.stderr
        status, _, body = output.partition("\n")
        return Answer(status == str(probe.status) and probe.says in body, output + done.stderr)


def _make_drive_options(sample: Sample, probe: Probe, folder: str) -> list[str]:
    """The options that write the answer, its status first, to a file in the folder."""
    if probe.get is None and probe.exec is None and probe.exec_in is None:
        return []
    ready = probe.ready or sample.runs[0].ready
    assert ready is not None, f"{sample.name}: a probe needs a ready check"
    if probe.exec_in is not None:
        return ["--ready", ready, "--exec-in", probe.exec_in]
    path = shlex.quote(f"{folder}/answer")
    if probe.exec is not None:
        # In a second shell, because the status comes first, as for a get.
        run = f"output=$(sh -c {shlex.quote(probe.exec)} 2>&1)"
        command = f'{run} && status=200 || status=$?; printf "%s\\n%s\\n" $status "$output" >{path}'
    else:
        url = shlex.quote(urljoin(ready, probe.get))
        body = f"curl -sS -m 30 -o {path}.body -w '%{{http_code}}\\n' {url} >{path} 2>&1"
        command = f"{body}; cat {path}.body >>{path}"
    return ["--ready", ready, "--exec", command]
