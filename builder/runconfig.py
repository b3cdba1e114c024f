"""How the image starts: the first run's command, as an OCI image configuration tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder.closure.need import DEFAULT_PATH
from builder.model import ImageConfig, Kind
from tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.images.root import Root
    from builder.model import Selection
    from builder.options import BuildOptions
    from tracer.model import Run, Trace

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NANO = 1_000_000_000


def image_config(
    trace: Trace, selection: Selection, user: tuple[int, int], options: BuildOptions
) -> ImageConfig:
    """The configuration for the selection.

    :param user: uid and gid, from :func:`image_user`.
    :raises UsageError: an ``--env`` is not ``NAME=VALUE``.
    """
    run = trace.runs[0]
    entrypoint, cmd = run.command[:1], run.command[1:]
    return ImageConfig(
        created=_created(selection, options.source_date_epoch),
        architecture=_ARCHITECTURES.get(run.machine, run.machine),
        entrypoint=entrypoint if options.entrypoint is None else options.entrypoint,
        cmd=cmd if options.cmd is None else options.cmd,
        working_dir=run.cwd,
        user=f"{user[0]}:{user[1]}",
        env=_env(run, options.env),
        exposed_ports=tuple(f"{port.port}/{port.protocol}" for port in trace.listening),
        stop_signal=run.stop_signal,
        labels=dict(options.labels),
    )


def image_user(root: Root, run: Run, wanted: str | None) -> tuple[int, int]:
    """The uid and gid of ``--user`` (numbers, or names of the full image), or the run's.

    The image gets numbers: Kubernetes cannot tell of a name whether it is root.

    :raises UsageError: the full image has no such user or group.
    """
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


def parse_env(pairs: tuple[str, ...]) -> Mapping[str, str]:
    """``NAME=VALUE`` words as a mapping.

    :raises UsageError: one of them is something else.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"cannot use --env {pair}: it is not NAME=VALUE")
        found[name] = value
    return found


def _account(root: Root, table: str, name: str) -> list[str] | None:
    """The line of passwd(5) or group(5) for a name or number."""
    found = root.resolve(table)
    if not found.exists or not name:
        return None
    with root.open(found.path) as file:
        lines = file.read().decode("utf-8", "surrogateescape").splitlines()
    number = name.isdecimal()
    width = 4 if table.endswith("passwd") else 3
    for line in lines:
        fields = line.split(":")
        whole = len(fields) >= width and all(map(str.isdecimal, fields[2:width]))
        if whole and fields[2 if number else 0] == name:
            return fields
    return None


def _env(run: Run, overrides: tuple[str, ...]) -> tuple[str, ...]:
    env = {**run.env, **parse_env(overrides)}
    if "/" not in run.command[0]:  # the engine looks it up on the image's PATH
        env.setdefault("PATH", DEFAULT_PATH)
    return tuple(f"{name}={env[name]}" for name in sorted(env))


def _created(selection: Selection, source_date_epoch: int | None) -> str:
    """SOURCE_DATE_EPOCH, or the newest kept file: never the clock, which no digest survives."""
    files = (item for item in selection.entries.values() if item.kind is Kind.FILE)
    newest = max((item.mtime_ns // _NANO for item in files), default=0)
    seconds = newest if source_date_epoch is None else source_date_epoch
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
