"""What a sample is: an app, its full image, the runs that are traced, and what is asked later."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dockerfile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockerfile import Stage

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
    """A folder of samples/ with an app and the Dockerfile of its full image.

    Where the Dockerfile has the port that it EXPOSEs, the words here have one that is free.

    :ivar image: a name of images.toml: the base that has the Dockerfile's packages.
    :ivar stages: the Dockerfile's.
    :ivar entrypoint: the full image's configuration, as ``command`` (its Cmd), ``env``, ``user``
        and ``workdir`` are.
    :ivar exposed: the port that the Dockerfile exposes, and ``port`` what stands for it; a sample
        that exposes none has a port to use as it likes.
    :ivar beside: another sample that it needs at work, which gets ``beside_port``.
    :ivar volumes: paths at which runs see an empty folder of this machine, and all probes of a
        level the same one.
    :ivar include: globs for ``build --include``.
    :ivar build: words more for ``build``.
    :ivar target: the MB that its slim image is to have at most, as targets.py has them.
    :ivar over: why it has more than that; None where it has not, and so must not.
    :ivar needs: why it cannot run hardened; None where it can, and so must.
    """

    name: str
    about: str
    image: str
    stages: tuple[Stage, ...]
    port: int
    beside_port: int
    exposed: str | None = None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str | None = None
    workdir: str | None = None
    beside: str | None = None
    volumes: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    target: str | None = None
    over: str | None = None
    needs: str | None = None
    runs: tuple[TracedRun, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def folder(self) -> Path:
        """What its Dockerfile may COPY from."""
        return HERE / self.name

    def with_port(self, text: str) -> str:
        """A text of the Dockerfile or a file of the app, with the port in its place."""
        if self.exposed is None:
            return text
        return re.sub(rf"\b{self.exposed}\b", str(self.port), text)


@dataclass(frozen=True, slots=True)
class Base:
    """What full images hold beside Debian's minimal base.

    :ivar packages: of Debian; ``setup`` shell commands run in the root afterwards.
    """

    name: str
    packages: tuple[str, ...]
    setup: tuple[str, ...] = ()


def names() -> tuple[str, ...]:
    """Every sample there is."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/sample.toml")))


def load(name: str, port: int | None = None, beside_port: int | None = None) -> Sample:
    """Read samples/NAME/Dockerfile and sample.toml, in which {port} and {beside} are ports.

    :param port: None for one that is free now, as for ``beside_port``.
    :raises TypeError: sample.toml has a key that nothing reads, or lacks one.
    :raises ValueError: so has the Dockerfile an instruction.
    """
    port, beside_port = port or free_port(), beside_port or free_port()
    text = (HERE / name / "sample.toml").read_text()
    text = text.replace("{port}", str(port)).replace("{beside}", str(beside_port))
    table = tomllib.loads(text)
    runs = tuple(TracedRun(**_tuples(run)) for run in table.pop("run", ()))
    probes = tuple(_probe(probe) for probe in table.pop("probe", ()))
    stages = dockerfile.read(HERE / name / "Dockerfile")
    env = {**stages[-1].env, **table.pop("env", {})}
    sample = Sample(
        name=name,
        stages=stages,
        port=port,
        beside_port=beside_port,
        exposed=stages[-1].value("EXPOSE"),
        user=stages[-1].value("USER"),
        workdir=stages[-1].value("WORKDIR"),
        runs=runs,
        probes=probes,
        **_tuples(table),
    )
    return replace(
        sample,
        entrypoint=tuple(map(sample.with_port, stages[-1].words("ENTRYPOINT"))),
        command=tuple(map(sample.with_port, stages[-1].words("CMD"))),
        env=tuple(f"{key}={value}" for key, value in env.items()),
    )


def load_beside(sample: Sample) -> Sample | None:
    """The sample that this one needs at work, with the ports on which they meet."""
    if sample.beside is None:
        return None
    return load(sample.beside, sample.beside_port, sample.port)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has.

    It is below those that the kernel gives to connections (ip(7), ip_local_port_range), one of
    which might have it by the time it is used.
    """
    while True:
        with socket.socket() as tried, contextlib.suppress(OSError):
            port = random.randrange(18000, 32000)  # noqa: S311 -- no secret
            tried.bind(("127.0.0.1", port))
            return port


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
