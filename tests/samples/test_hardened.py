"""Every sample hardened in podman, and the messages about failures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import start_times
from commands import SampleError, call
from confinement import confine
from engine import compile_static, need_engine
from full_image import make_layout
from measurements import Measurements
from requirements import need, need_root
from results import list_confinement_faults, list_faults, make_table
from sample import Sample, TracedRun, list_samples
from slim_image import examine, trace_and_build
from slim_samples import slim_sample
from start_times import measure_start_times

if TYPE_CHECKING:
    from pathlib import Path

    from slim_image import BuiltSample

PROGRAM = r"""
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const char *action = argv[1];

    if (!strcmp(action, "write") && open("/state", O_CREAT | O_WRONLY, 0666) < 0)
        err(1, "cannot write /state");
    if (!strcmp(action, "unshare") && unshare(CLONE_NEWUTS) < 0)
        err(1, "cannot unshare");
    usleep(200000);
    return 0;
}
"""
"""Does what its argument says, then sleeps."""


@pytest.mark.parametrize("name", list_samples())
def test_a_sample_serves_hardened(shared: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Read-only, without capabilities, as 65532 and under its own seccomp profile."""
    need_root()
    need_engine()
    need("skopeo")
    with slim_sample(name, shared, monkeypatch) as (sample, built):
        assert list(list_confinement_faults(sample, confine(sample, built))) == []


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Sample, BuiltSample]:
    """A sample that writes to its root."""
    need_root()
    need_engine()
    need("umoci", "skopeo")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    root.mkdir()
    compile_static(str(root), PROGRAM)
    tar = tmp_path / "root.tar"
    call("tar", "-C", str(root), "-cf", str(tar), "program")
    layout = str(tmp_path / "full")
    options = ("--config.entrypoint", "/program", "--config.cmd", "write", "--config.user", "0:0")
    make_layout([tar], layout, "latest", *options)
    sample = Sample(
        name="writer",
        about="",
        image="",
        stages=(),
        port=0,
        beside_port=0,
        entrypoint=("/program",),
        command=("write",),
        target="5",
        runs=(TracedRun(),),
    )
    return sample, trace_and_build(sample, f"oci:{layout}:latest", tmp_path / "slim")


def test_where_a_root_must_be_written_the_reason_is_shown(
    writer: tuple[Sample, BuiltSample],
) -> None:
    sample, built = writer
    confined = confine(sample, built)
    reason = "it ended with 1: program: cannot write /state: Read-only file system"
    assert (confined.privileges, confined.no_new_privileges) == (None, None)
    assert confined.hardened == reason
    found = examine(sample, built), Measurements(None, None, None, confined)
    assert list(list_faults(sample, *found)) == [f"writer: hardened: {reason}"]
    assert make_table([(sample, *found)]).endswith("| yes | - | yes | **no** |\n")
    excused = replace(sample, needs="it writes to /")
    assert list(list_faults(excused, *found)) == []
    assert make_table([(excused, *found)]).endswith("| yes | - | yes | no: it writes to / |\n")


def test_a_target_that_is_missed_is_told(writer: tuple[Sample, BuiltSample]) -> None:
    sample, built = writer
    found, unmeasured = examine(sample, built), Measurements(None, None, None, None)
    size = found.levels["closure"].unpacked
    assert list(list_faults(sample, found, unmeasured)) == []
    assert "| 5.0: yes |" in make_table([(sample, found, unmeasured)])
    low = replace(sample, target="binary + 0")
    assert found.binary < size
    told = f"writer: it has {size / 1e6:.1f} MB unpacked, and is to have {found.binary / 1e6:.1f}"
    assert list(list_faults(low, found, unmeasured)) == [f"{told} at most"]
    assert f"| {found.binary / 1e6:.1f}: **no** |" in make_table([(low, found, unmeasured)])
    excused = replace(low, over="it writes")
    assert list(list_faults(excused, found, unmeasured)) == []
    assert f"{found.binary / 1e6:.1f}: no: it writes |" in make_table(
        [(excused, found, unmeasured)]
    )
    (told,) = list_faults(replace(sample, over="it writes"), found, unmeasured)
    assert told.endswith("5.0 at most, and needs no excuse")


def test_a_profile_that_is_too_narrow_is_told(writer: tuple[Sample, BuiltSample]) -> None:
    sample, built = writer
    other = replace(sample, runs=(TracedRun(("unshare",)),))
    confined = confine(other, built)
    refused = "it ended with 1: program: cannot unshare: Operation not permitted"
    assert list(list_confinement_faults(other, confined)) == [
        f"writer: its seccomp profile is too narrow without no_new_privs: {refused}",
        f"writer: its seccomp profile is too narrow with no_new_privs: {refused}",
        f"writer: hardened: {refused}",
    ]


def test_an_excuse_for_nothing_is_told(writer: tuple[Sample, BuiltSample]) -> None:
    sample, built = writer
    quiet = replace(sample, runs=(TracedRun(("nothing",)),), needs="it writes to /")
    confined = confine(quiet, built)
    assert list(list_confinement_faults(quiet, confined)) == [
        "writer: hardened: it serves, so it needs no excuse"
    ]


def test_times_are_of_both_images(
    writer: tuple[Sample, BuiltSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, built = writer
    times = measure_start_times(sample, built.full, built.image(), starts=1)
    assert times is not None
    assert times.where == "podman"
    assert 0.2 <= times.full < 10
    assert 0.2 <= times.slim < 10

    def refuse() -> None:
        raise SampleError("there is no podman")

    monkeypatch.setattr(start_times, "find_working_flags", refuse)
    assert measure_start_times(sample, built.full, built.image(), starts=1) is None
