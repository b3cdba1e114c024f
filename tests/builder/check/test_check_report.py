"""The output and the files of ``slimtrace check``, and its errors."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from check_images import read_sarif_schema
from roots import busybox_root
from traces import check_failure, command, environment, run_slimtrace

if TYPE_CHECKING:
    from pathlib import Path

LOOP = "trap '' TERM; echo here; while :; do sleep 0.1; done"


def run(folder: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = environment(XDG_CACHE_HOME=str(folder / "cache"), TMPDIR=str(folder), **env)
    return run_slimtrace("-q", "check", *argv, cwd=str(folder), env=given)


@pytest.fixture
def image(tmp_path: Path) -> str:
    root = busybox_root(tmp_path / "root", {"etc/os-release": "ID=tiny\n", "tmp/": ""})
    (root / "bin/sh-ü\x1b[31m").symlink_to("busybox")
    (root / "bin/busybox").chmod(0o4755)
    return "rootfs:root"


TABLE = """\
pass  known-user            it runs as 0:0
skip  numeric-user          it has no configuration that names a user
skip  not-root              it has no configuration that names a user
fail  no-setuid             setuid or setgid: 1
                            /bin/busybox
                            -> leave it out with --exclude, or take the bits off in the full image:
                               chmod a-s
pass  no-file-capabilities  no file has capabilities
warn  no-shell              shells: 2
                            /bin/busybox
                            /bin/sh
                            -> exec the app itself, and build from a trace in which no shell runs;
                               debug by an ephemeral container
"""


def test_a_table(image: str, tmp_path: Path) -> None:
    done = run(tmp_path, image, "--no-run")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(TABLE)
    last = "rootfs:root for docker: 5 passed, 3 warned, 1 failed, 12 skipped\n"
    assert done.stdout.endswith(f"\n\n{last}")


def test_what_was_measured_is_marked(image: str, tmp_path: Path) -> None:
    argv = ("--ready", "log:here", "--grace", "0.5", "--platform", "knative", "--platform", "edge")
    done = run(tmp_path, image, *argv, "--", "sh", "-c", LOOP)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line[:4].strip()]
    rule_lines = {line[1]: (line[0], line[2]) for line in lines if len(line) > 2}
    status, detail = rule_lines["stops-in-grace"]
    assert status == "fail"
    assert detail.startswith("SIGTERM did not end it in 0.5 s: its process 1 does not handle it")
    assert detail.endswith("(measured)")
    assert rule_lines["ready-in-time"][1].endswith("of 600 (measured, knative)")
    assert rule_lines["no-setuid"] == ("fail", "setuid or setgid: 1")
    assert rule_lines["size"][1].endswith("the budget is 50.0 MB (edge)")


def test_colours_are_for_terminals(image: str, tmp_path: Path) -> None:
    assert "\x1b[32mpass" in on_terminal(tmp_path, image)
    assert "\x1b" not in on_terminal(tmp_path, image, NO_COLOR="1")
    assert "\x1b" not in run(tmp_path, image, "--no-run").stdout


def test_a_table_on_a_narrow_terminal(tmp_path: Path) -> None:
    """Prose is wrapped to the terminal; a long path stays on one line and can be copied."""
    path = f"/opt/{'long-' * 20}name"
    root = busybox_root(tmp_path / "root", {path[1:]: ""})
    (root / path[1:]).chmod(0o4755)
    lines = on_terminal(tmp_path, "rootfs:root", NO_COLOR="1", COLUMNS="80").splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("fail  no-setuid "))
    space = " " * 28
    assert lines[at + 1 : at + 5] == [
        f"{space}{path}",
        f"{space}-> leave it out with --exclude, or take the bits off",
        f"{space}   in the full image: chmod a-s",
        "pass  no-file-capabilities  no file has capabilities",
    ]


def on_terminal(folder: Path, image: str, **env: str) -> str:
    ours, theirs = pty.openpty()
    argv = command("-q", "check", image, "--no-run")
    given = environment(XDG_CACHE_HOME=str(folder / "cache"), **env)
    with subprocess.Popen(argv, stdout=theirs, cwd=folder, env=given):
        os.close(theirs)
        output = b""
        try:
            while data := os.read(ours, 4096):
                output += data
        except OSError:  # EIO: no process has it open (pty(7))
            pass
    os.close(ours)
    return output.decode()


def test_sarif(image: str, tmp_path: Path, shared: Path) -> None:
    argv = ("--ready", "log:here", "--grace", "0.5", "--sarif", "check.sarif")
    done = run(tmp_path, image, *argv, "--json", "--", "sh", "-c", LOOP)
    assert done.returncode == 1
    written: dict[str, Any] = json.loads((tmp_path / "check.sarif").read_text())
    jsonschema.Draft7Validator(read_sarif_schema(shared)).validate(written)
    document = json.loads(done.stdout)
    (log,) = written["runs"]
    rules = [rule["id"] for rule in log["tool"]["driver"]["rules"]]
    assert sorted(set(rules)) == sorted({each["rule"] for each in document["rules"]})
    results = {
        (each["ruleId"], each["level"], each["properties"]["measured"]) for each in log["results"]
    }
    levels = {"warn": "warning", "fail": "error"}
    assert results == {
        (each["rule"], levels[each["status"]], each["measured"])
        for each in document["rules"]
        if each["status"] in levels
    }
    assert ("stops-in-grace", "error", True) in results
    assert all(rules[each["ruleIndex"]] == each["ruleId"] for each in log["results"])
    (setuid,) = [each for each in log["results"] if each["ruleId"] == "no-setuid"]
    (where,) = setuid["locations"]
    assert where["physicalLocation"]["artifactLocation"] == {
        "uri": "bin/busybox",
        "uriBaseId": "IMAGE",
    }
    (stops,) = [each for each in log["results"] if each["ruleId"] == "stops-in-grace"]
    (where,) = stops["locations"]
    assert where["physicalLocation"]["artifactLocation"] == {"uri": "rootfs%3Aroot"}
    notes = [each["associatedRule"]["id"] for each in
             log["invocations"][0]["toolExecutionNotifications"]]  # fmt: skip
    assert "numeric-user" in notes


def test_sarif_on_stdout_is_all_of_it(image: str, tmp_path: Path) -> None:
    done = run(tmp_path, image, "--no-run", "--sarif", "-")
    assert (done.returncode, json.loads(done.stdout)["version"]) == (1, "2.1.0")


REFUSED: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "a platform that is none": (
        ("--platform", "mars"),
        2,
        ("the platform mars: choose kubernetes, knative, cloud-run, app-engine, istio, docker",),
    ),
    "two documents on stdout": (
        ("--json", "--sarif", "-"),
        2,
        ("cannot write two documents to stdout", "name a FILE"),
    ),
    "a size that is no number": (("--max-size", "nan"), 2, ("--max-size nan: it is not a finite",)),
    "a size below nothing": (("--max-size", "-1"), 2, ("--max-size -1: it is negative",)),
    "a wait without end": (
        ("--ready-timeout", "inf"),
        2,
        ("--ready-timeout inf: it is not a finite",),
    ),
    "a probe that is none": (("--probe", ""), 2, ("cannot use --probe with nothing to run",)),
    "a probe in half a quote": (("--probe", "a 'b"), 2, ("cannot use --probe a 'b",)),
    "a readiness that is none": (
        ("--ready", "soon", "--", "sh"),
        2,
        ("cannot use --ready soon",),
    ),
    "a volume that is not here": (
        ("-v", "/none:/data", "--", "sh"),
        125,
        ("cannot use --volume /none:/data: /none does not exist", "there are no named volumes"),
    ),
    "a report that cannot be written": (
        ("--no-run", "--sarif", "none/check.sarif"),
        125,
        ("cannot write none/check.sarif", "make it first"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_words(image: str, tmp_path: Path, name: str) -> None:
    argv, status, lines = REFUSED[name]
    check_failure(run(tmp_path, image, *argv), status, *lines)


def test_images_that_are_none(tmp_path: Path) -> None:
    check_failure(run(tmp_path, "none.tar"), 125, "cannot read none.tar: No such file or directory")
    (tmp_path / "empty").mkdir()
    check_failure(
        run(tmp_path, "rootfs:empty"), 125, "cannot check rootfs:empty: there is nothing in it"
    )
