"""What an image says of how it was built, whoever made it: how to repeat runs in it and heal it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.provenance import hash_runs, read_record
from slimtrace.builder.full_image import make_root
from slimtrace.builder.model import Kind
from slimtrace.builder.option_checks import check_options
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.text import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.config.provenance import BuildRecord
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_NUMERIC_USER = re.compile(r"[0-9]+(:[0-9]+)?")
"""A name may be known to this image alone."""


class ImageBuild(NamedTuple):
    """How an image was built.

    :ivar options: those that the image records, else those that its config implies.
    :ivar default_run: the number of the run that the image's own config starts; None for none.
    :ivar note: what is not known for certain; None if the image says that these runs gave it.
    :ivar healing: how it is healed then.
    """

    options: BuildOptions
    default_run: int | None
    note: str | None = None
    healing: str = ""


def read_build(opened: FullImage, trace: Trace) -> ImageBuild:
    """Find out how an image was built.

    :param trace: at least one run of the same full image.
    """
    record = _read_record(opened.config)
    if record is not None and record.runs == hash_runs(trace.runs):
        return ImageBuild(record.options, record.options.default_run)
    started = _find_started_run(opened, trace)
    if record is not None:
        runs = format_count(len(trace.runs), "run")
        return ImageBuild(
            replace(record.options, default_run=started or 1),
            started,
            f"{opened.source} was built from other runs than the {runs} of the trace",
            "with the options that it records",
        )
    return ImageBuild(
        replace(_read_config_options(opened), default_run=started or 1),
        started,
        f"{opened.source} does not say how it was built",
        "with the default options, and the user, command, variables and labels of its config",
    )


def list_files(opened: FullImage, full: Root) -> tuple[str, ...]:
    """The files of an image that the full image has, too."""
    slim = make_root(opened)
    found, pending = [], ["/"]
    while pending:
        folder = pending.pop().rstrip("/")
        for path in (f"{folder}/{name}" for name in slim.listdir(folder or "/")):
            if slim.kind(path) is Kind.DIRECTORY:
                pending.append(path)
            elif full.kind(path) is not None:
                found.append(path)
    return tuple(found)


def _read_record(config: Mapping[str, Any]) -> BuildRecord | None:
    # Another version of slimtrace may have written it, or another tool changed it.
    with suppress(SlimtraceError, TypeError, ValueError):
        return read_record(config)
    return None


def _find_started_run(opened: FullImage, trace: Trace) -> int | None:
    """The number of the first run that is the config's command; None if it starts none of them."""
    config = opened.run_config
    command = (*_strings(config, "Entrypoint"), *_strings(config, "Cmd"))
    numbers = (number for number, run in enumerate(trace.runs, start=1) if run.command == command)
    return next(numbers, None)


def _read_config_options(opened: FullImage) -> BuildOptions:
    """The options that give an image this config; defaults for what it does not have."""
    if not opened.config:
        return BuildOptions()
    found = opened.run_config
    labels = found.get("Labels")
    pairs = labels.items() if isinstance(labels, dict) else ()
    entrypoint, cmd = _strings(found, "Entrypoint"), _strings(found, "Cmd")
    user = _text(found, "User")
    options = BuildOptions(
        user=user if user is not None and _NUMERIC_USER.fullmatch(user) else None,
        env=tuple(each for each in _strings(found, "Env") if each.partition("=")[1]),
        entrypoint=entrypoint if entrypoint or cmd else None,
        cmd=cmd if entrypoint or cmd else None,
        labels=tuple(f"{name}={value}" for name, value in pairs if name),
        workdir=_text(found, "WorkingDir"),
        stop_signal=_text(found, "StopSignal"),
        expose=_names(found, "ExposedPorts"),
        volumes=_names(found, "Volumes"),
        healthcheck="Healthcheck" in found,
    )
    try:
        check_options(options)
    except UsageError:  # another tool's idea of a config
        return BuildOptions(user=options.user)
    return options


def _strings(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = config.get(name)
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def _names(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = config.get(name)
    return tuple(map(str, found)) if isinstance(found, dict) else ()


def _text(config: Mapping[str, Any], name: str) -> str | None:
    found = config.get(name)
    return found if isinstance(found, str) and found else None
