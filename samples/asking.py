"""Probes: a slim image is started for something that no traced run did, and asked for it."""

from __future__ import annotations

import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from commands import slimtrace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sample import Probe, Sample


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a probe: whether it was as expected, and what was said."""

    worked: bool
    said: str


def ask(sample: Sample, probe: Probe, image: str, volumes: Sequence[str]) -> Answer:
    """Start the image, ask, and stop it.

    The image is started by ``run --image``, which needs no container engine and gives the app
    what those give; its trace goes with the folder.

    :param volumes: words for ``--volume``.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 -- the app may be another user
        words = ["-q", "run", "--image", image, "-o", f"{folder}/trace", "--ready-timeout", "20"]
        for volume in volumes:
            words += ["-v", volume]
        if probe.command and not sample.entrypoint:
            words += ["--entrypoint", ""]  # build makes one of the first word of what ran
        done = slimtrace(*words, *_driving(sample, probe, folder), "--", *probe.command)
        if probe.get is None and probe.exec is None:
            said = done.stdout + done.stderr
            return Answer(done.returncode in _ENDS and probe.says in done.stdout + said, said)
        answer = Path(folder) / "answer"
        said = answer.read_text(errors="replace") if answer.exists() else done.stderr
        status, _, body = said.partition("\n")
        return Answer(status == str(probe.status) and probe.says in body, said + done.stderr)


_ENDS = (0, 143)
"""Exit statuses of a job, and of a service that has no handler for the SIGTERM that ends it."""


def _driving(sample: Sample, probe: Probe, folder: str) -> list[str]:
    """The options by which the answer, its status first, comes into the folder."""
    if probe.get is None and probe.exec is None and probe.exec_in is None:
        return []
    ready = probe.ready or sample.runs[0].ready
    assert ready is not None, f"{sample.name}: a probe of what is never ready"
    if probe.exec_in is not None:
        return ["--ready", ready, "--exec-in", probe.exec_in]
    place = shlex.quote(f"{folder}/answer")
    if probe.exec is not None:
        # A shell of its own: its status comes first, as that of a get does.
        run = f"said=$(sh -c {shlex.quote(probe.exec)} 2>&1)"
        command = f'{run} && status=200 || status=$?; printf "%s\\n%s\\n" $status "$said" >{place}'
    else:
        url = shlex.quote(urljoin(ready, probe.get))
        body = f"curl -sS -m 30 -o {place}.body -w '%{{http_code}}\\n' {url} >{place} 2>&1"
        command = f"{body}; cat {place}.body >>{place}"
    return ["--ready", ready, "--exec", command]
