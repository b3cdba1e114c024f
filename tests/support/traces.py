"""Traced runs: the tree before a run, the table of touched paths after it."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.syscalls.classes import HOT
from slimtrace.tracer.trace.document import make_document
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECONDS = 300.0
"""Time limit of a run, in seconds; no run of a test comes near it unless it hangs."""
STATES = {"files": "file", "missing": "missing", "created": "created"}

Document = dict[str, Any]


@dataclass(frozen=True)
class Traced:
    """A run and its trace, as ``show --json`` prints it.

    :ivar directory: the app's working directory; the tables contain the paths below it.
    """

    status: int
    stdout: str
    stderr: str
    trace: str
    directory: str
    document: Document

    def touches(self) -> dict[str, str]:
        """Map each path below the directory, relative to it, to its state and uses."""
        top = self.directory + "/"
        return {
            path.removeprefix(top): f"{state} {' '.join(sorted(entry['uses']))}"
            for state, path, entry in self.entries()
            if path.startswith(top)
        }

    def entries(self) -> list[tuple[str, str, Document]]:
        """Return state, path and entry of every path in the trace."""
        return [
            (state, decode_text(entry, "path"), entry)
            for section, state in STATES.items()
            for entry in self.document[section]
        ]

    def paths(self, *states: str) -> set[str]:
        """Return all paths, or the paths in these states."""
        return {path for state, path, _ in self.entries() if not states or state in states}

    def users(self, name: str) -> list[list[str]]:
        """Return argv of each process image that touched a path below the directory."""
        wanted = os.path.join(self.directory, name)
        images = {image["id"]: image for image in self.document["processes"]}
        return [
            [os.path.basename(images[ident]["argv"][0]), *images[ident]["argv"][1:]]
            for _, path, entry in self.entries()
            if path == wanted
            for ident in entry["processes"]
        ]

    def gaps(self) -> set[str]:
        """Return the kinds of gap in all runs."""
        return {gap["kind"] for run in self.document["runs"] for gap in run["gaps"]}

    @property
    def run(self) -> Document:
        """The last run."""
        last: Document = self.document["runs"][-1]
        return last


def decode_text(entry: Mapping[str, Any], key: str) -> str:
    """Read a string of the document, or its base64 form if it is not UTF-8."""
    if key in entry:
        return str(entry[key])
    return os.fsdecode(base64.b64decode(entry[f"{key}_b64"], validate=True))


def make_tree(directory: str, tree: Mapping[str, str]) -> str:
    """Make a tree of NAME: CONTENT.

    The content ``-> target`` makes a symlink, ``#!…`` an executable file. A name that ends in ``/``
    makes an empty directory.
    """
    os.makedirs(directory, exist_ok=True)
    for name, content in tree.items():
        path = os.path.join(directory, name)
        os.makedirs(path if name.endswith("/") else os.path.dirname(path), exist_ok=True)
        if content.startswith("-> "):
            os.symlink(content[3:], path)
        elif not name.endswith("/"):
            with open(path, "w") as file:
                file.write(content)
            if content.startswith("#!"):
                os.chmod(path, 0o700)
    return directory


def allow_all_users(folder: Path) -> None:
    """Let all users reach, and write in, a directory that pytest made for the current user."""
    folder.chmod(0o777)
    for above in folder.parents:
        if above.name.startswith(("pytest-", "popen-")):
            above.chmod(0o755)


def environment(**changes: str) -> dict[str, str]:
    """Return the tests' environment, without variables that change slimtrace's output."""
    removed = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTEST_CURRENT_TEST")
    others = {name: value for name, value in os.environ.items() if name not in removed}
    return {**others, "LC_ALL": "C.UTF-8", **changes}


def command(*arguments: str) -> list[str]:
    """Return the argv that starts slimtrace with these arguments."""
    return [sys.executable, "-m", "slimtrace", *arguments]


def run_slimtrace(
    *arguments: str,
    stdin: str | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run slimtrace and wait for its end.

    :param prefix: argv of a program that runs slimtrace.
    """
    return subprocess.run(
        [*prefix, *command(*arguments)],
        check=False,
        input="" if stdin is None else stdin,
        cwd=cwd,
        env=environment() if env is None else env,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=SECONDS,
        process_group=0,  # SIGTSTP does not stop an orphaned process group (setpgid(2))
    )


def read_first_line(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Read one line of a command's output and close the pipe; print its exit status."""
    return subprocess.run(
        ["bash", "-c", f"{shlex.join(argv)} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )


def show(trace: str) -> Document:
    """Return the document that ``show --json`` prints (a test in tests/cli compares the two)."""
    result: Document = json.loads(orjson.dumps(make_document(read_trace(trace), HOT)))
    return result


def check_failure(done: subprocess.CompletedProcess[str], status: int, *lines: str) -> None:
    """Check that the command failed with this status and printed only these lines.

    The next step may be left out of ``lines``.
    """
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    messages = done.stderr.splitlines()
    assert len(lines) <= len(messages) <= max(2, len(lines)), done.stderr
    for line, expected in zip(messages, lines, strict=False):
        assert line.startswith("slimtrace: ")
        assert expected in line
