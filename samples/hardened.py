"""Samples in containers under the seccomp profiles of their own traces, and hardened.

Hardened is what security people ask for: a root that cannot be written, no capability, no way to
get one, a user that is nobody on the machine, and no system call but those the app needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beside import beside
from commands import slimtrace
from containers import loaded
from fullimage import SampleError
from starting import in_podman, serve
from volumes import empty_volumes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sample import Sample
    from slimming import Built

NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
HARDENED = ("--read-only", "--cap-drop", "all", *NO_NEW_PRIVILEGES, "--user", "65532:65532")


@dataclass(frozen=True, slots=True)
class Confined:
    """Why a sample does not serve (a job: end with 0) under its profile; None where it does.

    :ivar privileges: without no_new_privs; ``no_new_privileges`` with it.
    :ivar hardened: as HARDENED.
    """

    privileges: str | None
    no_new_privileges: str | None
    hardened: str | None


def confine(sample: Sample, built: Built) -> Confined:
    """Start the image that ``build`` makes by default under its own profile, in each way.

    :raises SampleError: podman cannot run containers here, or there is no profile.
    """
    options = ("--security-opt", f"seccomp={write_profile(built.trace)}")
    with loaded(built.image()) as name:

        def why(*more: str) -> str | None:
            return _why_not(sample, built.full, name, (*options, *more))

        privileges, no_new, hardened = why(), None, why(*HARDENED)
        if hardened is not None:  # else it serves with no_new_privs too
            no_new = why(*NO_NEW_PRIVILEGES)
        return Confined(privileges, no_new, hardened)


def write_profile(trace: str) -> str:
    """The path of a trace's seccomp profile.

    :raises SampleError: it cannot be made.
    """
    path = f"{trace}.seccomp.json"
    done = slimtrace("profile", trace, "--seccomp", path)
    if done.returncode != 0:
        raise SampleError(f"cannot make a profile: {done.stderr}")
    return path


def _why_not(sample: Sample, full: str, name: str, options: Sequence[str]) -> str | None:
    """Why a run of a sample that was traced fails in a container; None where all do well."""
    with beside(sample, full), empty_volumes(sample) as volumes:
        for run in sample.runs:
            start = serve(run, in_podman(sample, run, name, *options, volumes=volumes))
            if start.fault is not None:
                return start.fault
    return None
