"""Parses the Dockerfiles of the samples.

They use one form of each instruction (Dockerfile reference of Docker and of buildah): CMD and
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

INSTRUCTIONS = ("COPY", "WORKDIR", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD")
_APT = ("apt-get", "update"), ("rm", "-rf", "/var/lib/apt/lists/*")
_USERS = ("useradd", "groupadd")


@dataclass(frozen=True, slots=True)
class Stage:
    """The instructions from one FROM to the next.

    :ivar name: the name after AS; None for the last stage, which is the image.
    :ivar steps: each instruction and its text.
    """

    name: str | None
    steps: tuple[tuple[str, str], ...]

    def get_argv(self, instruction: str) -> tuple[str, ...]:
        """The last JSON list of CMD or ENTRYPOINT; it replaces earlier ones."""
        texts = self._list_texts(instruction)
        return tuple(json.loads(texts[-1])) if texts else ()

    def get_value(self, instruction: str) -> str | None:
        """The last value of USER, WORKDIR or EXPOSE."""
        texts = self._list_texts(instruction)
        return texts[-1] if texts else None

    @property
    def env(self) -> Mapping[str, str]:
        """The variables of the build and of the image."""
        pairs = (pair for text in self._list_texts("ENV") for pair in shlex.split(text))
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}

    @property
    def packages(self) -> frozenset[str]:
        """The packages that it installs by apt-get."""
        return frozenset(
            argument
            for argv in self._list_commands()
            if argv[:2] == ("apt-get", "install")
            for argument in argv[2:]
            if not argument.startswith("-")
        )

    @property
    def users(self) -> tuple[str, ...]:
        """The commands that add users and groups."""
        return tuple(shlex.join(argv) for argv in self._list_commands() if argv[0] in _USERS)

    def _list_commands(self) -> Iterator[tuple[str, ...]]:
        for text in self._list_texts("RUN"):
            for command in text.split("&&"):
                yield tuple(shlex.split(command))

    def _list_texts(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]


def read_dockerfile(path: Path) -> tuple[Stage, ...]:
    """Parse a Dockerfile into its stages; the last is the image.

    :raises ValueError: it has an instruction that is not supported.
    """
    text = re.sub(r"\\\n\s*", "", path.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: list[tuple[str | None, list[tuple[str, str]]]] = []
    for line in lines:
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            _, _, name = rest.partition(" AS ")
            stages.append((name or None, []))
        elif instruction in INSTRUCTIONS:
            stages[-1][1].append((instruction, rest.strip()))
        else:
            raise ValueError(f"{path}: cannot read {line!r}: {instruction} is not supported")
    return tuple(Stage(name, tuple(steps)) for name, steps in stages)


def select_app_commands(run: str) -> str:
    """The commands of a RUN without those that install packages or add users; "" for none."""
    commands = (command.strip() for command in run.split("&&"))
    return " && ".join(
        command for command in commands if not _belongs_to_base(shlex.split(command))
    )


def _belongs_to_base(argv: Sequence[str]) -> bool:
    return tuple(argv[:2]) == ("apt-get", "install") or argv[0] in _USERS or tuple(argv) in _APT
