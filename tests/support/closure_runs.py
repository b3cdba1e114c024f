"""What closure rules bring to a planted tree, and a real app built with them and without."""

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
    """``{path: reasons}`` of all that these rules bring, and the links on the way there."""
    wanted = [Seed(path, TOUCHED, load=True) for path in touched]
    around = RunEnvironment(("/usr/bin",), (), "/", env or {})
    plain = expand(Root(str(top)), wanted, around).entries
    selection = expand(Root(str(top)), wanted, around, rules)
    return {
        path: ",".join(entry.reasons)
        for path, entry in selection.entries.items()
        if path not in plain and Reason.DIRECTORY not in entry.reasons[:1]
    }


def build_images(
    folder: Path, command: Sequence[str], env: Mapping[str, str] = ENV
) -> dict[str, BuiltImage]:
    """A command traced on this machine's root, and its images: ``touched`` and ``closure``."""
    trace = str(folder / "app.trace")
    words = ("-q", "run", "-o", trace, "--", *command)
    ran = run_slimtrace(*words, cwd=str(folder), env={**environment(), **env})
    assert ran.returncode == 0, ran.stderr
    return {keep: BuiltImage(folder, trace, keep, env) for keep in ("touched", "closure")}


class BuiltImage:
    """A slim image as a tree, in which commands run.

    :ivar told: what ``build --json`` printed.
    """

    def __init__(self, folder: Path, trace: str, keep: str, env: Mapping[str, str]) -> None:
        self._root = str(folder / f"image-{keep}")
        self._folder = folder
        self._env = env
        words = ("build", trace, "-o", f"rootfs:{self._root}", "--keep", keep, "--json")
        done = run_slimtrace(*words, cwd=str(folder))
        assert done.returncode == 0, done.stderr
        self.told: dict[str, Any] = json.loads(done.stdout)

    def says(self, *command: str) -> str:
        """The last line that a command prints in the image, on either stream."""
        env = [word for name, value in self._env.items() for word in ("--env", f"{name}={value}")]
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
