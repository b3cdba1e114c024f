"""What a kept file needs, and the variables of a run that decide where it is searched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slimtrace.tracer.environment import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.builder.model import Reason
    from slimtrace.tracer.trace.trace import Run


@dataclass(frozen=True, slots=True)
class Need:
    """A path that a kept file needs, before symlinks are resolved: they are needed too.

    :ivar load: whether it may be loaded as a program or library: then its own needs count.
    :ivar execute: whether it may be executed: then its ``#!`` line counts.
    """

    path: str
    reason: Reason
    load: bool = False
    execute: bool = False


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """The part of the runs' environment that decides where files are searched.

    :ivar path: directories of ``PATH``, absolute.
    :ivar library_path: elements of ``LD_LIBRARY_PATH``, absolute; tokens such as ``$ORIGIN`` are
        not expanded.
    :ivar cwd: the first run's working directory, against which relative paths are resolved.
    :ivar env: the variables of all runs; where runs differ, the value of the first.
    """

    path: tuple[str, ...]
    library_path: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def from_runs(cls, runs: Iterable[Run]) -> RunEnvironment:
        """Join the directories of all runs, in the order of the runs."""
        runs = list(runs)
        path: dict[str, None] = {}
        library_path: dict[str, None] = {}
        env: dict[str, str] = {}
        for run in runs:
            env = {**run.env, **env}
            path.update(dict.fromkeys(_split(run.env.get("PATH", DEFAULT_PATH), ":", run.cwd)))
            libraries = run.env.get("LD_LIBRARY_PATH", "").replace(";", ":")
            if libraries:
                library_path.update(dict.fromkeys(_split(libraries, ":", run.cwd)))
        return cls(tuple(path), tuple(library_path), runs[0].cwd if runs else "/", env)

    def read_search_path(self, variable: str) -> list[str]:
        """Read the directories of a variable as ``PERL5LIB``, absolute; none if it is unset."""
        value = self.env.get(variable, "")
        return _split(value, ":", self.cwd) if value else []

    def make_absolute(self, path: str) -> str:
        """Resolve a relative path against the working directory."""
        return path if path.startswith("/") else f"{self.cwd.rstrip('/')}/{path}"


def _split(value: str, separator: str, cwd: str) -> list[str]:
    """Split a search path; an empty element is the working directory (environ(7))."""
    elements = [element or cwd for element in value.split(separator)]
    return [
        element if element.startswith(("/", "$")) else f"{cwd.rstrip('/')}/{element}"
        for element in elements
    ]
