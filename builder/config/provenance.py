"""What a slim image says of how it was made: of which runs, with which options.

It stands in the comment of its history (image-spec config.md), which every form of an image keeps.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.model import Keep
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slimtrace.tracer.trace.trace import Run

_PLACES = frozenset({"tag", "image", "sbom", "debug"})
"""Options that say where something lies, not what is in the image."""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """How an image was made.

    :ivar runs: tells whether it was of certain runs; the same wherever and whenever they ran.
    """

    runs: str
    options: BuildOptions


def hash_runs(runs: Sequence[Run]) -> str:
    """What is the same of runs of the same commands in the same image."""
    words = [[*run.command, run.cwd, run.image_digest or ""] for run in runs]
    text = repr(words).encode("utf-8", "surrogateescape")
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def write_record(runs: Sequence[Run], options: BuildOptions) -> str:
    """The record as one line of text: what was not said is not in it."""
    plain = asdict(BuildOptions())
    said = {
        name: value
        for name, value in asdict(options).items()
        if name not in _PLACES and value != plain[name]
    }
    document = {"slimtrace": {"runs": hash_runs(runs), "options": said}}
    return json.dumps(document, sort_keys=True)  # which escapes what is not UTF-8


def read_record(config: Mapping[str, Any]) -> BuildRecord | None:
    """The record in an image configuration's whole document; None where there is none.

    :raises SlimtraceError: another version of slimtrace wrote it.
    """
    try:
        document = json.loads(config["history"][-1]["comment"])["slimtrace"]
        runs, said = str(document["runs"]), dict(document["options"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    if not said.keys() <= {field.name for field in fields(BuildOptions)}:
        raise SlimtraceError(
            "cannot read how the image was built: another version of slimtrace built it",
            "build it again",
        )
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in said.items()
    }
    if "keep" in values:
        values["keep"] = Keep(values["keep"])
    return BuildRecord(runs, BuildOptions(**values))
