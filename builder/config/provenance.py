"""The record of how a slim image was built: from which runs, with which options.

It is in the comment of the image's history (image-spec config.md), which every image format keeps.
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

_UNRECORDED_OPTIONS = frozenset({"tag", "image", "sbom", "debug", "strict"})
"""Options that do not decide what is in the image."""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """How an image was built.

    :ivar runs: the hash of the runs, as of :func:`hash_runs`.
    """

    runs: str
    options: BuildOptions


def hash_runs(runs: Sequence[Run]) -> str:
    """Hash commands, directories and images of runs: equal for the same runs at any time."""
    fields = [[*run.command, run.cwd, run.image_digest or ""] for run in runs]
    text = repr(fields).encode("utf-8", "surrogateescape")
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def write_record(runs: Sequence[Run], options: BuildOptions) -> str:
    """Write the record as one line of text, without options that have their defaults."""
    defaults = asdict(BuildOptions())
    changed = {
        name: value
        for name, value in asdict(options).items()
        if name not in _UNRECORDED_OPTIONS and value != defaults[name]
    }
    document = {"slimtrace": {"runs": hash_runs(runs), "options": changed}}
    return json.dumps(document, sort_keys=True)  # it escapes what is not UTF-8


def read_record(config: Mapping[str, Any]) -> BuildRecord | None:
    """Read the record from an image configuration; None if it has none.

    :raises SlimtraceError: another version of slimtrace wrote it.
    """
    try:
        document = json.loads(config["history"][-1]["comment"])["slimtrace"]
        runs, recorded = str(document["runs"]), dict(document["options"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    if not recorded.keys() <= {field.name for field in fields(BuildOptions)}:
        raise SlimtraceError(
            "cannot read how the image was built: another version of slimtrace built it",
            "build it again",
        )
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items()
    }
    if "keep" in values:
        values["keep"] = Keep(values["keep"])
    return BuildRecord(runs, BuildOptions(**values))
