"""The parts of the baseline. Each is named by the reason of the files that it adds.

``--without-rule`` disables a part by this name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.model import BuildPart, Cause, Reason

if TYPE_CHECKING:
    from slimtrace.builder.build_options import BuildOptions

PARTS = frozenset(
    {
        Reason.RELEASE,
        Reason.ACCOUNTS,
        Reason.NONROOT_HOME,
        Reason.NSSWITCH,
        Reason.CA_CERTIFICATES,
        Reason.TIME_ZONE,
        Reason.NETWORK_NAMES,
    }
)


def make_baseline_cause(part: Reason) -> Cause:
    """Make the cause of a part's files."""
    return Cause(part, BuildPart(f"baseline: {part.value}"))


def choose_parts(options: BuildOptions) -> frozenset[Reason]:
    """Choose the parts that the image gets."""
    return PARTS - {*options.without_rules} if options.baseline else frozenset()
