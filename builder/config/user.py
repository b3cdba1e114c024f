"""Chooses the image's user."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.config.image_config import find_default_run
from slimtrace.builder.policy.baseline.baseline_accounts import NONROOT
from slimtrace.builder.policy.privilege import GrantedPrivilege, find_privileged_acts
from slimtrace.builder.selection.process_filter import filter_processes
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.image.accounts import MAX_ID, MAX_TABLE_BYTES, is_valid_id, look_up_account

if TYPE_CHECKING:
    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Run, Trace


class ImageUser(NamedTuple):
    """The image's user.

    :ivar ids: uid and gid.
    :ivar warning: why it is root although no option says so.
    """

    ids: tuple[int, int]
    warning: Caution | None = None


def choose_user(trace: Trace, root: Root, options: BuildOptions) -> ImageUser:
    """The user of ``--user`` or of the full image, or else 65532:65532.

    65532:65532 is chosen only if it could do everything that the runs did. If it could not, the
    image keeps the user of the default run.

    :raises UsageError: as :func:`image_user` does.
    """
    run = find_default_run(trace, options.default_run)
    ids = image_user(root, run, options.user)
    is_named = ids[0] != 0 and root.root != "/"
    if options.user is not None or is_named:
        return ImageUser(ids)
    counted = filter_processes(
        trace, options.drop_process, options.only_process, options.default_run
    )
    granted = GrantedPrivilege(read=options.grant_read, write=options.grant_write)
    needs = find_privileged_acts(counted.trace, root, NONROOT, granted)
    if not needs:
        return ImageUser(NONROOT)
    if ids[0] != 0:
        return ImageUser(ids)
    name = ":".join(map(str, NONROOT))
    return ImageUser(
        ids,
        Caution(
            f"the image's user stays root: the app {', '.join(needs)}",
            f"where it does without, --user {name} makes it nobody in particular",
        ),
    )


def explain_user_change(
    root: Root, run: Run, chosen: ImageUser, full: str | None, options: BuildOptions
) -> str | None:
    """Why the image's user is not the full image's, in one line; None if it is the same.

    On this machine's root there is no full image, and so no user of one.

    :param run: the default run.
    :param full: the full image's user, as its configuration names it; None for root.
    """
    if root.root == "/":
        return None
    account = look_up_account(full or "0:0", lambda path: root.text(path, MAX_TABLE_BYTES))
    if chosen.ids == (account.uid, account.gid):
        return None
    name = ":".join(map(str, chosen.ids))
    if options.user is not None:
        why = "--user says so"
    elif name == run.user:
        why = "the app ran as this user"
    else:
        why = f"the app needed no privilege; --user {full or '0:0'} keeps the full image's"
    return f"the image's user is {name}, not {full or 'root'} as in the full image: {why}"


def image_user(root: Root, run: Run, wanted: str | None) -> tuple[int, int]:
    """The UID and GID of ``--user`` (numbers, or names in the full image), or of the run.

    The image's config gets numbers, because Kubernetes cannot know whether a name is root
    (``runAsNonRoot``).

    :raises UsageError: the full image has no such user or group, or the kernel has no such ID.
    """
    return find_user(root, run.user if wanted is None else wanted)


def find_user(root: Root, text: str) -> tuple[int, int]:
    """The UID and GID of ``USER[:GROUP]`` in a full image.

    :raises UsageError: as :func:`image_user`.
    """
    user, _, group = text.partition(":")
    found = look_up_account(text, lambda path: root.text(path, MAX_TABLE_BYTES))
    hint = "use numbers, for example --user 65532:65532"
    if not user or found.uid is None:
        raise UsageError(
            f"cannot use --user {text}: the full image's /etc/passwd has no such user", hint
        )
    if found.gid is None:
        raise UsageError(
            f"cannot use --user {text}: the full image's /etc/group has no group {group}", hint
        )
    if not (is_valid_id(found.uid) and is_valid_id(found.gid)):
        raise UsageError(
            f"cannot use --user {found.uid}:{found.gid}: IDs are numbers from 0 to {MAX_ID}"
        )
    return found.uid, found.gid
