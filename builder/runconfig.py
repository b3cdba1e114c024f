"""How the image starts: the default run's command, as an OCI image configuration tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder.closure.need import DEFAULT_PATH
from builder.defaultrun import default_run
from builder.model import ImageConfig, Kind
from builder.record import write_record
from builder.words import pairs, port
from tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.images.base import BaseConfig
    from builder.images.root import Root
    from builder.model import Selection
    from builder.options import BuildOptions
    from tracer.model import Run, Trace

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NANO = 1_000_000_000
_MOST = 1 << 24  # bytes of a table of users or groups, as a run in an image reads them
_LAST_ID = (1 << 32) - 2  # the one after it means none (chown(2))
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # years 1 to 9999 (RFC 3339)


def image_config(
    trace: Trace,
    selection: Selection,
    user: tuple[int, int],
    options: BuildOptions,
    base: BaseConfig,
) -> ImageConfig:
    """The configuration for the selection: the full image's, what ran, what the user says.

    :param user: uid and gid, from :func:`image_user`.
    :raises UsageError: an option is not as it must be, as an ``--env`` without ``=``.
    """
    run = default_run(trace, options.default_run)
    entrypoint, cmd = _start(run.command, options)
    listening = [f"{heard.port}/{heard.protocol}" for heard in trace.listening]
    return ImageConfig(
        created=_created(selection, options.source_date_epoch),
        architecture=base.architecture or _ARCHITECTURES.get(run.machine, run.machine),
        entrypoint=entrypoint,
        cmd=cmd,
        working_dir=options.workdir or run.cwd,
        user=f"{user[0]}:{user[1]}",
        env=_env(run, base.env, options.env),
        exposed_ports=_united(base.exposed_ports, listening, map(port, options.expose)),
        stop_signal=options.stop_signal or run.stop_signal or base.stop_signal,
        labels={**base.labels, **pairs("--label", options.labels)},
        volumes=_united(base.volumes, options.volumes),
        healthcheck=base.healthcheck if options.healthcheck else None,
        variant=base.variant,
        comment=write_record(trace.runs, options),
    )


def image_user(root: Root, run: Run, wanted: str | None) -> tuple[int, int]:
    """The uid and gid of ``--user`` (numbers, or names of the full image), or the run's.

    The image gets numbers: Kubernetes cannot tell of a name whether it is root.

    :raises UsageError: the full image has no such user or group, or a number is too large.
    """
    uid, gid = _ids(root, run, wanted)
    if max(uid, gid) > _LAST_ID:
        raise UsageError(f"cannot use --user {uid}:{gid}: ids end at {_LAST_ID}")
    return uid, gid


def _ids(root: Root, run: Run, wanted: str | None) -> tuple[int, int]:
    user, _, group = (run.user if wanted is None else wanted).partition(":")
    fields = _account(root, "/etc/passwd", user)
    if not user.isdecimal() and fields is None:
        raise UsageError(
            f"cannot use --user {user}: the full image's /etc/passwd has no such user",
            "give numbers, as --user 65532:65532",
        )
    uid = int(user) if user.isdecimal() or fields is None else int(fields[2])
    if not group:
        return uid, 0 if fields is None else int(fields[3])
    if group.isdecimal():
        return uid, int(group)
    fields = _account(root, "/etc/group", group)
    if fields is None:
        raise UsageError(
            f"cannot use --user {wanted}: the full image's /etc/group has no group {group}",
            "give numbers, as --user 65532:65532",
        )
    return uid, int(fields[2])


def _start(
    command: tuple[str, ...], options: BuildOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entrypoint and command; where the user wants no entrypoint, all that ran is the command."""
    entrypoint = command[:1] if options.entrypoint is None else options.entrypoint
    rest = command[1:] if entrypoint else command
    return entrypoint, rest if options.cmd is None else options.cmd


def _account(root: Root, table: str, name: str) -> list[str] | None:
    """The line of passwd(5) or group(5) for a name or number."""
    found = root.resolve(table)
    if not found.exists or not name:
        return None
    lines = root.head(found.path, _MOST).decode("utf-8", "surrogateescape").splitlines()
    number = name.isdecimal()
    width = 4 if table.endswith("passwd") else 3
    for line in lines:
        fields = line.split(":")
        whole = len(fields) >= width and all(map(str.isdecimal, fields[2:width]))
        if whole and fields[2 if number else 0] == name:
            return fields
    return None


def _united(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for group in groups for word in group))


def _env(run: Run, base: Mapping[str, str], overrides: tuple[str, ...]) -> tuple[str, ...]:
    ran = dict(run.env)
    if run.image_digest and "PATH" not in base and ran.get("PATH") == DEFAULT_PATH:
        del ran["PATH"]  # the image has none, and engines give this one
    env = {**base, **ran, **pairs("--env", overrides)}
    if "/" not in run.command[0]:  # the engine looks it up on the image's PATH
        env.setdefault("PATH", DEFAULT_PATH)
    return tuple(f"{name}={env[name]}" for name in sorted(env))


def _created(selection: Selection, source_date_epoch: int | None) -> str:
    """SOURCE_DATE_EPOCH, or the newest kept file: never the clock, which no digest survives."""
    files = (item for item in selection.entries.values() if item.kind is Kind.FILE)
    newest = max((item.mtime_ns // _NANO for item in files), default=0)
    seconds = newest if source_date_epoch is None else source_date_epoch
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise UsageError(f"cannot make an image of {seconds} seconds since 1970: no date has them")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
