"""The processes whose touches count: ``--drop-process`` and ``--only-process``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from requirements import need
from traces import make_tree, run_slimtrace

from slimtrace.builder.selection.process_filter import filter_processes
from slimtrace.tracer.trace.trace import (
    Fingerprint,
    ProcessImage,
    Run,
    State,
    Trace,
    TracedPath,
    Use,
)

if TYPE_CHECKING:
    from pathlib import Path

RUN = Run(("sh", "run"), "/", "0:0", {}, "rootfs:/", None, "", "x86_64", "notify")
PROCESSES = (
    ProcessImage(1, None, 0, "/usr/bin/dash", ("sh", "run")),
    ProcessImage(2, 1, 0, "/usr/bin/python3", ("python3", "/srv/app.py")),
    ProcessImage(3, 2, 0, "/usr/bin/git", ("/usr/bin/git", "log")),
    ProcessImage(4, 1, 0, "/usr/bin/env", ("env", "curl", "x")),
    ProcessImage(5, 4, 0, "/usr/bin/curl", ("curl", "x")),
    ProcessImage(6, 5, 0, "/usr/bin/dash", ("sh", "-c", "y")),
    ProcessImage(7, None, 1, "/usr/bin/python3", ("pytest", "-q")),
)
BIN, SH = "/usr/bin", "/bin/sh"
PATHS = {
    "/usr/bin/dash": (1, 6),
    "/bin/sh": (1, 6),
    "/usr/bin/python3": (1, 2, 7),
    "/usr/bin/git": (3,),
    "/usr/bin/curl": (1, 4, 5),
    "/usr/bin/env": (1, 4),
    "/srv/app.py": (2,),
    "/etc/both": (2, 5),
    "/etc/curlrc": (5,),
    "/etc/y": (6,),
    "/etc/pytest": (7,),
}


def _trace() -> Trace:
    prints = {path: Fingerprint(0, 0, 0, size, 0) for size, path in enumerate(PATHS)}
    prints["/bin/sh"] = prints["/usr/bin/dash"]
    paths = {
        path: TracedPath(
            path,
            State.FILE,
            frozenset({Use.EXEC, Use.STAT} if "bin" in path else {Use.READ}),
            users,
            0.0,
            prints[path],
        )
        for path, users in PATHS.items()
    }
    return Trace((RUN, RUN), PROCESSES, paths)


@pytest.mark.parametrize(
    ("drop", "only", "gone"),
    [
        (["nobody"], [], set()),
        (["curl"], [], {"/etc/curlrc", "/etc/y"}),
        (["env curl*"], [], {f"{BIN}/env", f"{BIN}/curl", "/etc/curlrc", "/etc/y"}),
        (["/usr/*/git"], [], {f"{BIN}/git"}),
        (["pytest"], [], {"/etc/pytest"}),
        (["*python3"], [], {f"{BIN}/python3", f"{BIN}/git", "/srv/app.py", "/etc/pytest"}),
        (["Curl"], [], set()),
        (
            [],
            ["*app.py"],
            set(PATHS) - {f"{BIN}/python3", f"{BIN}/git", "/srv/app.py", "/etc/both"},
        ),
        (["git"], ["*app.py"], set(PATHS) - {f"{BIN}/python3", "/srv/app.py", "/etc/both"}),
        ([], ["nobody"], set(PATHS)),
    ],
)
def test_what_goes(drop: list[str], only: list[str], gone: set[str]) -> None:
    left = filter_processes(_trace(), drop, only)
    assert {item.path for item in left.dropped} == gone
    assert set(left.trace.paths) == set(PATHS) - gone
    assert all("only dropped processes touched it (" in item.why for item in left.dropped)


def test_a_run_of_dropped_processes_alone_goes() -> None:
    left = filter_processes(_trace(), ["pytest"])
    assert (len(left.trace.runs), left.warnings) == (1, ())
    left = filter_processes(_trace(), ["pytest"], default=2)
    assert len(left.trace.runs) == 2
    (warning,) = left.warnings
    assert warning.startswith("the image starts sh run, but its process is dropped, so that it may")


def test_a_glob_without_a_process_is_warned_of() -> None:
    left = filter_processes(_trace(), ["curl", "nobody"], ["*app.py", "none"])
    assert [line.partition(" matches no process")[0] for line in left.warnings[:2]] == [
        "--drop-process nobody",
        "--only-process none",
    ]


def test_test_tools_stay_out_of_a_real_image(tmp_path: Path) -> None:
    """Bash looks curl up before it starts it, but that does not keep curl."""
    need("curl")
    work = make_tree(str(tmp_path / "work"), {"data": "data", "mine": "mine"})
    script = f"curl -s file://{work}/data; cat mine; exit 0"
    trace = str(tmp_path / "x.trace")
    done = run_slimtrace("-q", "run", "-o", trace, "--", "bash", "-c", script, cwd=work)
    assert done.returncode == 0, done.stderr
    options = ("--drop-process", "curl", "--drop-process", "nobody", "--json")
    done = run_slimtrace("build", trace, "-o", f"rootfs:{tmp_path}/slim", *options)
    assert done.returncode == 0, done.stderr
    assert any("nobody matches no process" in line for line in json.loads(done.stdout)["warnings"])
    names = {path.name for path in (tmp_path / "slim").rglob("*") if not path.is_dir()}
    assert {"mine", "bash", "cat"} <= names
    assert not {"data", "curl", "libcurl.so.4"} & names
