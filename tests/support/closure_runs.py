"""The paths that closure rules add to a tree, and a real app built with and without the rules."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from build_fixtures import TOUCHED
from traces import command as slimtrace
from traces import environment, run_slimtrace

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.model import Reason, Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from slimtrace.builder.closure.rule import ClosureRule

ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def list_added_paths(
    top: Path,
    touched: Iterable[str],
    rules: Sequence[ClosureRule],
    env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return ``{path: reasons}`` of the paths that these rules add, and of symlinks on the way."""
    seeds = [Seed(path, TOUCHED, load=True) for path in touched]
    run_environment = RunEnvironment(("/usr/bin",), (), "/", env or {})
    without = expand(Root(str(top)), seeds, run_environment).entries
    selection = expand(Root(str(top)), seeds, run_environment, rules)
    return {
        path: ",".join(entry.reasons)
        for path, entry in selection.entries.items()
        if path not in without and Reason.DIRECTORY not in entry.reasons[:1]
    }


def build_images(
    folder: Path,
    command: Sequence[str],
    env: Mapping[str, str] = ENV,
    keeps: Sequence[str] = ("touched", "closure"),
) -> dict[str, BuiltImage]:
    """Trace a command on this machine's root; build its images of these levels of ``--keep``."""
    trace = str(folder / "app.trace")
    arguments = ("-q", "run", "-o", trace, "--", *command)
    done = run_slimtrace(*arguments, cwd=str(folder), env={**environment(), **env})
    assert done.returncode == 0, done.stderr
    return {keep: BuiltImage(folder, trace, keep, env) for keep in keeps}


class BuiltImage:
    """A slim image as a tree, in which commands can run.

    :ivar report: the output of ``build --json``.
    """

    def __init__(self, folder: Path, trace: str, keep: str, env: Mapping[str, str]) -> None:
        self._root = str(folder / f"image-{keep}")
        self._folder = folder
        self._env = env
        arguments = ("build", trace, "-o", f"rootfs:{self._root}", "--keep", keep, "--json")
        done = run_slimtrace(*arguments, cwd=str(folder))
        assert done.returncode == 0, done.stderr
        self.report: dict[str, Any] = json.loads(done.stdout)

    def read_last_line(self, *command: str) -> str:
        """Run a command in the image; return the last line that it prints on stdout or stderr."""
        env = [each for name, value in self._env.items() for each in ("--env", f"{name}={value}")]
        output = str(self._folder / "in-image.trace")
        done = subprocess.run(
            [
                *slimtrace("-q", "run", "--force", "-o", output, "--image", f"rootfs:{self._root}"),
                *("--workdir", str(self._folder), *env, "--", *command),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
        )
        return (done.stdout.decode().splitlines() or [""])[-1]
