"""What a sample is: an app, its full image, the runs that are traced, and what is asked later."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent
LEVELS = ("touched", "closure", "package")
"""What ``build --keep`` knows, each level holding the one before it."""


@dataclass(frozen=True, slots=True)
class TracedRun:
    """One run in the full image.

    :ivar command: words in the place of the image's Cmd; empty for that.
    :ivar ready: as ``run --ready`` has it; ``get`` paths of it, ``exec`` shell commands of this
        machine, ``exec_in`` commands in the image, in this order.
    """

    command: tuple[str, ...] = ()
    ready: str | None = None
    get: tuple[str, ...] = ()
    exec: tuple[str, ...] = ()
    exec_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """Something that no traced run did, asked of a slim image that is started for it.

    Of ``get``, ``exec`` and ``exec_in`` one at most is given; without any, the app is a job and
    its output the answer.

    :ivar start: the first level of LEVELS at which it must work. Below it must fail, else the
        probe shows nothing.
    :ivar ready: None for that of the first traced run, if the probe has something to ask.
    :ivar status: the HTTP status that a get is to have.
    :ivar says: words that the answer holds.
    """

    name: str
    start: str
    command: tuple[str, ...] = ()
    ready: str | None = None
    get: str | None = None
    exec: str | None = None
    exec_in: str | None = None
    status: int = 200
    says: str = ""

    def works_at(self, level: str) -> bool:
        """Whether it is expected to work in an image of this level."""
        return LEVELS.index(level) >= LEVELS.index(self.start)


@dataclass(frozen=True, slots=True)
class Sample:
    """A folder of samples/, whose ``app`` becomes /app in the full image.

    :ivar image: a name of images.toml; its packages are what the app is slimmed from.
    :ivar entrypoint: the full image's configuration, as ``command`` (its Cmd), ``env``, ``user``
        and ``workdir`` are.
    :ivar compile: Java sources of ``app``, replaced by their classes.
    :ivar volumes: paths at which runs see an empty folder of this machine, and all probes of a
        level the same one.
    :ivar include: globs for ``build --include``.
    """

    name: str
    about: str
    image: str
    command: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str | None = None
    workdir: str | None = None
    compile: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    runs: tuple[TracedRun, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def app(self) -> Path:
        """The app's files."""
        return HERE / self.name / "app"


@dataclass(frozen=True, slots=True)
class Base:
    """What a full image holds beside Debian's minimal base.

    :ivar packages: of Debian; ``setup`` shell commands run in the root afterwards.
    """

    name: str
    packages: tuple[str, ...]
    setup: tuple[str, ...] = ()


def names() -> tuple[str, ...]:
    """Every sample there is."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/sample.toml")))


def load(name: str) -> Sample:
    """Read samples/NAME/sample.toml.

    :raises TypeError: it has a key that nothing reads, or lacks one.
    """
    with open(HERE / name / "sample.toml", "rb") as file:
        table = tomllib.load(file)
    runs = tuple(TracedRun(**_tuples(run)) for run in table.pop("run", ()))
    probes = tuple(_probe(probe) for probe in table.pop("probe", ()))
    env = tuple(f"{key}={value}" for key, value in table.pop("env", {}).items())
    return Sample(name=name, env=env, runs=runs, probes=probes, **_tuples(table))


def load_base(name: str) -> Base:
    """One table of images.toml."""
    with open(HERE / "images.toml", "rb") as file:
        return Base(name=name, **_tuples(tomllib.load(file)[name]))


def _probe(table: Mapping[str, Any]) -> Probe:
    """:raises ValueError: there is no such level."""
    values = _tuples(table)
    probe = Probe(start=values.pop("from"), **values)
    if probe.start not in LEVELS:
        raise ValueError(f"{probe.name}: there is no level {probe.start!r}")
    return probe


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
