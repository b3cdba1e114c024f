"""What a kept file needs, and what of a run decides where that lies."""

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
    """A path that a kept file needs, as it is looked up: its symlinks are needed too.

    :ivar load: whether it may be loaded as a program or library, so that its own needs count.
    :ivar execute: whether it may be executed, so that a ``#!`` line counts.
    """

    path: str
    reason: Reason
    load: bool = False
    execute: bool = False


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """What of the runs' environment decides where things are found.

    :ivar path: directories of ``PATH``, absolute.
    :ivar library_path: elements of ``LD_LIBRARY_PATH``, absolute; ``$ORIGIN`` and the like
        stand as written.
    :ivar cwd: the first run's working directory, from which relative names in files count.
    :ivar env: the variables of all runs; where they differ, the first run's.
    """

    path: tuple[str, ...]
    library_path: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> RunEnvironment:
        """The directories of all runs, in the order of the runs."""
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

    def search_path(self, variable: str) -> list[str]:
        """The directories of a variable like ``PERL5LIB``, absolute; none where it is not set."""
        value = self.env.get(variable, "")
        return _split(value, ":", self.cwd) if value else []

    def absolute(self, path: str) -> str:
        """``path`` as a process in the working directory would look it up."""
        return path if path.startswith("/") else f"{self.cwd.rstrip('/')}/{path}"


def _split(value: str, separator: str, cwd: str) -> list[str]:
    """Elements of a search path; an empty one is the working directory (environ(7))."""
    elements = [element or cwd for element in value.split(separator)]
    return [
        element if element.startswith(("/", "$")) else f"{cwd.rstrip('/')}/{element}"
        for element in elements
    ]
