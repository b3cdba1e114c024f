"""A sample: an app, its full image, the traced runs, and the probes of the slim images."""

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
LEVELS = ("touched", "closure", "app", "package")
"""The levels of ``build --keep``; each includes the one before it."""


@dataclass(frozen=True, slots=True)
class TracedRun:
    """One run in the full image.

    The driver sends the requests of ``get``, then runs ``exec``, then ``exec_in``.

    :ivar command: replaces the image's Cmd; empty to keep it.
    :ivar ready: a value of ``run --ready``.
    :ivar get: paths to request at the address in ``ready``.
    :ivar exec: shell commands to run on this machine.
    :ivar exec_in: commands to run in the image.
    """

    command: tuple[str, ...] = ()
    ready: str | None = None
    get: tuple[str, ...] = ()
    exec: tuple[str, ...] = ()
    exec_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A request to a slim image that no traced run made; the image is started for it.

    At most one of ``get``, ``exec`` and ``exec_in`` is set. Without them the app is a job, and its
    output is the answer.

    :ivar start: the first level of LEVELS at which it must work. Below this level it must fail,
        else the probe proves nothing.
    :ivar ready: None for the value of the first traced run, if there is a request.
    :ivar status: the expected HTTP status of a get.
    :ivar says: a text that the answer must contain.
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

    A free port replaces the port that the Dockerfile exposes.

    :ivar image: the base in images.toml that has the Dockerfile's packages.
    :ivar stages: the stages of the Dockerfile.
    :ivar entrypoint: from the full image's config, as are ``command`` (its Cmd), ``env``, ``user``
        and ``workdir``.
    :ivar exposed: the port that the Dockerfile exposes; None for no port.
    :ivar port: the port that replaces it; without one, a free port for any use.
    :ivar beside: another sample that must run at the same time, on ``beside_port``.
    :ivar volumes: paths where an empty folder of this machine is mounted in runs. All probes of a
        level share a folder.
    :ivar include: globs for ``build --include``.
    :ivar build: more options for ``build``.
    :ivar target: the maximal size of its slim image, in the form that targets.py parses.
    :ivar over: why the image is larger; None if it must meet the target.
    :ivar needs: why it cannot run hardened; None if it must run hardened.
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
    def tested_levels(self) -> tuple[str, ...]:
        """The levels that tests build: the largest one only where a probe needs it."""
        is_needed = any(probe.start == LEVELS[-1] for probe in self.probes)
        return LEVELS if is_needed else LEVELS[:-1]

    @property
    def folder(self) -> Path:
        """The build context of its Dockerfile."""
        return HERE / self.name

    def with_port(self, text: str) -> str:
        """Replace the exposed port in a text of the Dockerfile or a file of the app."""
        if self.exposed is None:
            return text
        return re.sub(rf"\b{self.exposed}\b", str(self.port), text)


@dataclass(frozen=True, slots=True)
class Base:
    """What a full image has in addition to Debian's minimal base.

    :ivar packages: Debian packages.
    :ivar setup: shell commands that are then run in the root.
    """

    name: str
    packages: tuple[str, ...]
    setup: tuple[str, ...] = ()


def list_samples() -> tuple[str, ...]:
    """List the names of all samples."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/sample.toml")))


def load_sample(name: str, port: int | None = None, beside_port: int | None = None) -> Sample:
    """Read samples/NAME/Dockerfile and sample.toml, in which {port} and {beside} are ports.

    :param port: None for a free port; so is ``beside_port``.
    :raises TypeError: sample.toml has an unknown key, or a key is missing.
    :raises ValueError: the Dockerfile has an instruction that is not supported.
    """
    port, beside_port = port or find_free_port(), beside_port or find_free_port()
    text = (HERE / name / "sample.toml").read_text()
    text = text.replace("{port}", str(port)).replace("{beside}", str(beside_port))
    table = tomllib.loads(text)
    runs = tuple(TracedRun(**_make_tuples(run)) for run in table.pop("run", ()))
    probes = tuple(_parse_probe(probe) for probe in table.pop("probe", ()))
    stages = dockerfile.read_dockerfile(HERE / name / "Dockerfile")
    env = {**stages[-1].env, **table.pop("env", {})}
    sample = Sample(
        name=name,
        stages=stages,
        port=port,
        beside_port=beside_port,
        exposed=stages[-1].get_value("EXPOSE"),
        user=stages[-1].get_value("USER"),
        workdir=stages[-1].get_value("WORKDIR"),
        runs=runs,
        probes=probes,
        **_make_tuples(table),
    )
    return replace(
        sample,
        entrypoint=tuple(map(sample.with_port, stages[-1].get_argv("ENTRYPOINT"))),
        command=tuple(map(sample.with_port, stages[-1].get_argv("CMD"))),
        env=tuple(f"{key}={value}" for key, value in env.items()),
    )


def load_peer(sample: Sample) -> Sample | None:
    """Load the sample that this one needs, with the ports that they use; None if it needs none."""
    if sample.beside is None:
        return None
    return load_sample(sample.beside, sample.beside_port, sample.port)


def find_free_port() -> int:
    """Find a port of 127.0.0.1 that is not in use.

    It is below the ports that the kernel assigns to connections (ip(7), ip_local_port_range): a
    connection could get one of those before the port is used.
    """
    while True:
        with socket.socket() as test, contextlib.suppress(OSError):
            port = random.randrange(18000, 32000)  # noqa: S311 -- no secret
            test.bind(("127.0.0.1", port))
            return port


def load_base(name: str) -> Base:
    """Load a table of images.toml."""
    with open(HERE / "images.toml", "rb") as file:
        return Base(name=name, **_make_tuples(tomllib.load(file)[name]))


def _parse_probe(table: Mapping[str, Any]) -> Probe:
    """:raises ValueError: there is no such level."""
    values = _make_tuples(table)
    probe = Probe(start=values.pop("from"), **values)
    if probe.start not in LEVELS:
        raise ValueError(f"{probe.name}: there is no level {probe.start!r}")
    return probe


def _make_tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
