"""The parts, each by the reason of what it brings, which is also the name that switches it off."""

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


def baseline_cause(part: Reason) -> Cause:
    """Why the files of a part are in the image."""
    return Cause(part, BuildPart(f"baseline: {part.value}"))


def choose_parts(options: BuildOptions) -> frozenset[Reason]:
    """The parts that an image is to have."""
    return PARTS - {*options.without_rules} if options.baseline else frozenset()
