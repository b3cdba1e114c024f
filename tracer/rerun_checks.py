"""Checks the options of repeated runs before the work begins, which may take long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.drive.ready import parse_ready
from slimtrace.tracer.image.accounts import check_user
from slimtrace.tracer.image.run_config import check_variables
from slimtrace.tracer.image.runtime import parse_volume
from slimtrace.tracer.sandbox.capabilities import select_capabilities

if TYPE_CHECKING:
    from slimtrace.tracer.rerun_options import RerunOptions


def check_changes(changes: RerunOptions, ready: str | None) -> None:
    """Check what can be checked without an image.

    :param ready: the value of ``--ready``; None for none.
    :raises SlimtraceError: an option is not valid, or a volume's HOST does not exist.
    """
    select_capabilities(changes.cap_drop, changes.cap_add)
    check_variables(changes.env)
    for volume in changes.volumes:
        parse_volume(volume)
    if changes.user is not None:
        check_user(changes.user)
    if ready is not None:
        parse_ready(ready, None, "/")
