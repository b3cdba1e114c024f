"""Runs samples in containers under the seccomp profiles of their traces, and hardened.

Hardened means: a read-only root, no capabilities and no_new_privs, a user without an account on
the machine, and only the system calls that the app needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands import SampleError, run_slimtrace
from containers import load_image
from podman_start import run_in_podman, start_app
from sample_runner import run_peer
from volumes import make_empty_volumes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sample import Sample
    from slim_image import BuiltSample

NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
HARDENED = ("--read-only", "--cap-drop", "all", *NO_NEW_PRIVILEGES, "--user", "65532:65532")


@dataclass(frozen=True, slots=True)
class Confinement:
    """Why a sample fails to serve (a job: to end with 0) under its profile; None if it does.

    :ivar privileges: the cause without no_new_privs; ``no_new_privileges`` with it.
    :ivar hardened: the cause with the options HARDENED.
    """

    privileges: str | None
    no_new_privileges: str | None
    hardened: str | None


def confine(sample: Sample, built: BuiltSample) -> Confinement:
    """Start the image that ``build`` makes by default under its profile, with each set of options.

    :raises SampleError: podman cannot run containers here, or the profile cannot be made.
    """
    options = ("--security-opt", f"seccomp={write_profile(built.trace)}")
    with load_image(built.image()) as name:

        def find_fault(*more: str) -> str | None:
            return _start_runs(sample, built.full, name, (*options, *more))

        privileges, no_new, hardened = find_fault(), None, find_fault(*HARDENED)
        if hardened is not None:  # else it serves with no_new_privs too
            no_new = find_fault(*NO_NEW_PRIVILEGES)
        return Confinement(privileges, no_new, hardened)


def write_profile(trace: str) -> str:
    """Write the seccomp profile of a trace; returns its path.

    :raises SampleError: it cannot be made.
    """
    path = f"{trace}.seccomp.json"
    done = run_slimtrace("profile", trace, "--seccomp", path)
    if done.returncode != 0:
        raise SampleError(f"cannot make a profile: {done.stderr}")
    return path


def _start_runs(sample: Sample, full: str, name: str, options: Sequence[str]) -> str | None:
    """Repeat the traced runs in containers; returns the first failure, or None."""
    with run_peer(sample, full), make_empty_volumes(sample) as volumes:
        for run in sample.runs:
            start = start_app(run, run_in_podman(run, name, *options, volumes=volumes))
            if start.fault is not None:
                return start.fault
    return None
