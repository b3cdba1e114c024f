"""The steps of the build, in order. Each is a pure function from a selection to the next."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from slimtrace.builder.closure.closure import add_closure
from slimtrace.builder.edit import restore_directories
from slimtrace.builder.jlink.replace import add_closure_with_java
from slimtrace.builder.packages.write.package_metadata import add_package_metadata
from slimtrace.builder.policy.access import grant_read, warn_of_access
from slimtrace.builder.policy.app_writes import add_written_folders, grant_write, warn_of_writes
from slimtrace.builder.policy.baseline.baseline import add_baseline
from slimtrace.builder.policy.baseline.baseline_files import add_baseline_files
from slimtrace.builder.policy.bytecode import remove_sources, replace_sources
from slimtrace.builder.policy.declared_volumes import add_declared_volumes
from slimtrace.builder.policy.secrets import remove_secrets
from slimtrace.builder.policy.skeleton import add_runtime_folders, add_skeleton
from slimtrace.builder.selection.evidence import add_healed, add_touched, settle_dropped
from slimtrace.builder.selection.globs import add_included, remove_excluded

if TYPE_CHECKING:
    from slimtrace.builder.context import Context, Step
    from slimtrace.builder.model import Selection


def add_needs(selection: Selection, context: Context) -> Selection:
    """Add all that the seeds need and imply; with ``--jlink``, link new Java runtimes."""
    step = add_closure_with_java if context.options.jlink else add_closure
    return step(selection, context)


SELECTION: tuple[Step, ...] = (
    add_touched,
    add_written_folders,
    add_declared_volumes,
    add_included,
    add_healed,
    add_baseline_files,
)
"""They add seeds, the paths from which the closure starts."""

CLOSURE: tuple[Step, ...] = (
    add_needs,
    settle_dropped,
    restore_directories,
)
"""They make entries from the seeds, and from all that these need and imply."""

POLICY: tuple[Step, ...] = (
    add_baseline,
    remove_sources,
    add_package_metadata,
    add_runtime_folders,
    remove_excluded,
    remove_secrets,
    add_skeleton,
    grant_read,
    grant_write,
    warn_of_access,
    warn_of_writes,
    replace_sources,
)
"""They add what every image has, remove what no image may have, and check the rest.

``remove_excluded`` comes after all steps that add files which a user may exclude, and before the
skeleton, without which no image starts. ``replace_sources`` comes last: it moves files to paths
that do not exist in the full image.
"""

STEPS: tuple[Step, ...] = (*SELECTION, *CLOSURE, *POLICY)


def run_steps(selection: Selection, context: Context) -> Selection:
    """Apply all steps to the selection.

    :raises SlimtraceError: files changed since the run, or one cannot be read.
    """
    return reduce(lambda before, step: step(before, context), STEPS, selection)
