"""How the image starts: the default run's command, as an OCI image configuration tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slimtrace.builder.config.provenance import write_record
from slimtrace.builder.model import ImageConfig, Kind
from slimtrace.builder.option_checks import parse_pairs, parse_port
from slimtrace.tracer.environment import DEFAULT_PATH
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.text import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.model import Entry, Selection
    from slimtrace.builder.root.base_config import BaseConfig
    from slimtrace.tracer.trace.trace import Run, Trace


def find_default_run(trace: Trace, number: int) -> Run:
    """The run that gives the image its command, directory, user, variables and stop signal.

    :param number: what ``--default-run`` says: from 1, as ``show`` counts.
    :raises UsageError: the trace has no such run.
    :raises SlimtraceError: it has none at all.
    """
    if not trace.runs:
        raise no_run_error()
    if not 1 <= number <= len(trace.runs):
        count = format_count(len(trace.runs), "run")
        raise UsageError(
            f"cannot use --default-run {number}: the trace has {count}",
            "slimtrace show TRACE numbers them",
        )
    return trace.runs[number - 1]


def no_run_error() -> SlimtraceError:
    """What to raise where a trace has no run."""
    return SlimtraceError("cannot build from the trace: it has no run", "trace the app again")


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""uname(2)'s machine → GOARCH."""
_NANO = 1_000_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # years 1 to 9999 (RFC 3339)


def make_image_config(
    trace: Trace,
    selection: Selection,
    user: tuple[int, int],
    options: BuildOptions,
    base: BaseConfig,
) -> ImageConfig:
    """The configuration for the selection: the full image's, what ran, what the user says.

    :param user: uid and gid.
    :raises UsageError: an option is not as it must be, as an ``--env`` without ``=``.
    """
    run = find_default_run(trace, options.default_run)
    entrypoint, cmd = _split_command(run.command, base.entrypoint, options)
    listening = [f"{heard.port}/{heard.protocol}" for heard in trace.listening]
    return ImageConfig(
        created=_created(selection, options.source_date_epoch),
        architecture=base.architecture or ARCHITECTURES.get(run.machine, run.machine),
        entrypoint=entrypoint,
        cmd=cmd,
        working_dir=options.workdir or run.cwd,
        user=f"{user[0]}:{user[1]}",
        env=_env(run, base.env, options.env),
        exposed_ports=_united(base.exposed_ports, listening, map(parse_port, options.expose)),
        stop_signal=options.stop_signal or run.stop_signal or base.stop_signal,
        labels={**base.labels, **parse_pairs("--label", options.labels)},
        volumes=_united(base.volumes, options.volumes),
        healthcheck=base.healthcheck if options.healthcheck else None,
        variant=base.variant,
        comment=write_record(trace.runs, options),
    )


def _split_command(
    command: tuple[str, ...], full: tuple[str, ...], options: BuildOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entrypoint and Cmd.

    An engine replaces Cmd by the arguments after the image's name. The slim image must react to
    them as the full one does, so its Entrypoint is the full one's, if the run started with that.
    If it did not, there is no Entrypoint, and Cmd is the whole command.

    :param command: what ran.
    :param full: the full image's Entrypoint; empty for none.
    """
    entrypoint = full if command[: len(full)] == full else ()
    cmd = command[len(entrypoint) :]
    if options.entrypoint is not None:
        replaced, entrypoint = entrypoint, options.entrypoint
        if not entrypoint:
            cmd = command
        elif command[: len(entrypoint)] == entrypoint:
            cmd = command[len(entrypoint) :]
        elif not replaced:
            cmd = command[1:]  # it takes the place of the program
    return entrypoint, cmd if options.cmd is None else options.cmd


def _united(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for group in groups for word in group))


def _env(run: Run, base: Mapping[str, str], overrides: tuple[str, ...]) -> tuple[str, ...]:
    ran = dict(run.env)
    if run.image_digest and "PATH" not in base and ran.get("PATH") == DEFAULT_PATH:
        del ran["PATH"]  # the image has none, and engines give this one
    env = {**base, **ran, **parse_pairs("--env", overrides)}
    if "/" not in run.command[0]:  # the engine looks it up on the image's PATH
        env.setdefault("PATH", DEFAULT_PATH)
    return tuple(f"{name}={env[name]}" for name in sorted(env))


def newest_mtime(entries: Iterable[Entry]) -> int:
    """When the newest file was written, in nanoseconds since the epoch; 0 for none."""
    return max((entry.mtime_ns for entry in entries if entry.kind is Kind.FILE), default=0)


def _created(selection: Selection, source_date_epoch: int | None) -> str:
    """SOURCE_DATE_EPOCH, or the newest kept file: never the clock, which no digest survives."""
    seconds = source_date_epoch
    if seconds is None:
        seconds = newest_mtime(selection.entries.values()) // _NANO
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise UsageError(f"cannot make an image of {seconds} seconds since 1970: no date has them")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
