"""Dockerfiles as the samples write them: enough to know what an image is made of.

Each instruction has its plain form (Dockerfile reference of Docker and of buildah): CMD and
ENTRYPOINT in JSON, ENV as NAME=VALUE, COPY of whole files and folders.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

KNOWN = ("COPY", "WORKDIR", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD")
_APT = ("apt-get", "update"), ("rm", "-rf", "/var/lib/apt/lists/*")
_USERS = ("useradd", "groupadd")


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next.

    :ivar name: what AS calls it; None for that which the image is made of.
    :ivar steps: each instruction and its text.
    """

    name: str | None
    steps: tuple[tuple[str, str], ...]

    def words(self, instruction: str) -> tuple[str, ...]:
        """The last JSON list of CMD or ENTRYPOINT, which replaces those before it."""
        texts = self._texts(instruction)
        return tuple(json.loads(texts[-1])) if texts else ()

    def value(self, instruction: str) -> str | None:
        """The last value of USER, WORKDIR or EXPOSE."""
        texts = self._texts(instruction)
        return texts[-1] if texts else None

    @property
    def env(self) -> Mapping[str, str]:
        """Variables, of the build as of the image."""
        pairs = (pair for text in self._texts("ENV") for pair in shlex.split(text))
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}

    @property
    def packages(self) -> frozenset[str]:
        """What it installs by apt-get."""
        return frozenset(
            word
            for words in self._commands()
            if words[:2] == ("apt-get", "install")
            for word in words[2:]
            if not word.startswith("-")
        )

    @property
    def users(self) -> tuple[str, ...]:
        """The commands that add users and groups."""
        return tuple(shlex.join(words) for words in self._commands() if words[0] in _USERS)

    def _commands(self) -> Iterator[tuple[str, ...]]:
        for text in self._texts("RUN"):
            for command in text.split("&&"):
                yield tuple(shlex.split(command))

    def _texts(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]


def read(path: Path) -> tuple[Stage, ...]:
    """The stages of a Dockerfile; the last is the image.

    :raises ValueError: there is an instruction that nothing here reads.
    """
    text = re.sub(r"\\\n\s*", "", path.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: list[tuple[str | None, list[tuple[str, str]]]] = []
    for line in lines:
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            _, _, name = rest.partition(" AS ")
            stages.append((name or None, []))
        elif instruction in KNOWN:
            stages[-1][1].append((instruction, rest.strip()))
        else:
            raise ValueError(f"{path}: cannot read {line!r}: no {instruction} is known here")
    return tuple(Stage(name, tuple(steps)) for name, steps in stages)


def building(run: str) -> str:
    """What a RUN does beside Debian's packages and users, of which a base is made; "" for none."""
    commands = (command.strip() for command in run.split("&&"))
    return " && ".join(command for command in commands if not _of_base(shlex.split(command)))


def _of_base(words: Sequence[str]) -> bool:
    return tuple(words[:2]) == ("apt-get", "install") or words[0] in _USERS or tuple(words) in _APT
