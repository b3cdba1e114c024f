"""The baseline's part that no full image has as it is to be: what the build writes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.baseline_parts import choose_parts, make_baseline_cause
from slimtrace.builder.closure.rules.file_facts import is_glibc
from slimtrace.builder.closure.rules.nss import CONFIGURATION
from slimtrace.builder.edit import add_entries, make_file
from slimtrace.builder.model import Entry, Kind, Reason
from slimtrace.builder.policy.baseline.baseline_accounts import NONROOT, make_accounts

if TYPE_CHECKING:
    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection

_HOME = "/home/nonroot"
_SWITCH = b"hosts: files dns\n"
"""Without the file glibc asks the network before /etc/hosts (nsswitch.conf(5))."""


def add_baseline(selection: Selection, context: Context) -> Selection:
    """Add the accounts, nonroot's home and nsswitch.conf."""
    root, parts = context.root, choose_parts(context.options)
    new: list[Entry] = []
    if Reason.ACCOUNTS in parts:
        new += make_accounts(selection, root, context.user)
    if Reason.NONROOT_HOME in parts:
        home = root.resolve(_HOME).path
        if home not in selection.entries and root.kind(home) in {None, Kind.DIRECTORY}:
            causes = (make_baseline_cause(Reason.NONROOT_HOME),)
            new.append(Entry(home, Kind.DIRECTORY, 0o700, *NONROOT, 0, causes=causes))
    if Reason.NSSWITCH in parts and not root.resolve(CONFIGURATION).exists:
        libraries = [entry for path, entry in selection.entries.items() if is_glibc(path)]
        for library in libraries[:1]:
            cause = make_baseline_cause(Reason.NSSWITCH)
            new += make_file(root, CONFIGURATION, _SWITCH, cause, library.mtime_ns)
    return add_entries(selection, root, new)
