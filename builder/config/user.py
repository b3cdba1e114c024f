"""Who the image's user is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.config.image_config import default_run
from slimtrace.builder.policy.baseline.accounts import NONROOT
from slimtrace.builder.policy.privilege import GrantedPrivilege, needs_of_privilege
from slimtrace.builder.selection.process_filter import attribute
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Run, Trace

_MOST = 1 << 24  # bytes of a table of users or groups, as a run in an image reads them
_LAST_ID = (1 << 32) - 2  # the one after it means none (chown(2))


class ImageUser(NamedTuple):
    """The image's user.

    :ivar ids: uid and gid.
    :ivar warning: why it is root though nobody asked for that.
    """

    ids: tuple[int, int]
    warning: str | None = None


def choose_user(trace: Trace, root: Root, options: BuildOptions) -> ImageUser:
    """Whom ``--user`` or the full image names, else nobody in particular: 65532:65532.

    That is if the runs did nothing that this user could not do. Else it is the default run's user.

    :raises UsageError: as :func:`image_user` does.
    """
    run = default_run(trace, options.default_run)
    ids = image_user(root, run, options.user)
    is_named = ids[0] != 0 and root.root != "/"
    if options.user is not None or is_named:
        return ImageUser(ids)
    counted = attribute(trace, options.drop_process, options.only_process, options.default_run)
    granted = GrantedPrivilege(read=options.grant_read, write=options.grant_write)
    needs = needs_of_privilege(counted.trace, root, NONROOT, granted)
    if not needs:
        return ImageUser(NONROOT)
    if ids[0] != 0:
        return ImageUser(ids)
    name = ":".join(map(str, NONROOT))
    return ImageUser(
        ids,
        f"the image's user stays root: the app {', '.join(needs)}; where it does without, "
        f"--user {name} makes it nobody in particular",
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
