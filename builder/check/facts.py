"""What is known of an image that is checked: read from it, and seen when it was started."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slimtrace.builder.check.user import who
from slimtrace.builder.closure.need import DEFAULT_PATH
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.check.rule import Start
    from slimtrace.builder.check.user import Who
    from slimtrace.builder.images.root import Root
    from slimtrace.builder.model import Entry
    from slimtrace.tracer.trial.tried import Tried


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said that rules go by.

    :ivar words: what is run in the place of the image's Cmd.
    :ivar probes: commands that the platform runs in the container.
    :ivar grace: seconds; None for the platform's own.
    :ivar startup: seconds; None likewise.
    :ivar max_size: bytes of the compressed layers; None for the default.
    """

    words: tuple[str, ...] = ()
    probes: tuple[tuple[str, ...], ...] = ()
    grace: float | None = None
    startup: float | None = None
    max_size: int | None = None


@dataclass(frozen=True)
class Facts:
    """One image.

    :ivar image: the words that name it.
    :ivar config: its configuration's whole document; empty where it has none.
    :ivar entries: all that it holds but directories, by own path.
    :ivar compressed: bytes of its layers as they are stored; None where that is not known.
    :ivar starts: how it started.
    :ivar port: what PORT was in these.
    :ivar why_no_start: why it was not started, in words.
    """

    image: str
    digest: str | None
    config: Mapping[str, Any]
    root: Root
    entries: Mapping[str, Entry]
    asked: Asked = field(default_factory=Asked)
    compressed: int | None = None
    starts: Mapping[Start, Tried] = field(default_factory=dict)
    port: int | None = None
    why_no_start: str = "the image was not started"

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """How it runs: the configuration's inner object (image-spec config.md)."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}

    def words(self, name: str) -> tuple[str, ...]:
        """A list of strings in that; nothing where it is something else."""
        found = self.run.get(name)
        is_list = isinstance(found, list) and all(isinstance(word, str) for word in found)
        return tuple(found) if found and is_list else ()

    def text(self, name: str) -> str:
        """A string in that."""
        found = self.run.get(name)
        return found if isinstance(found, str) else ""

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of a set in that, as ExposedPorts."""
        found = self.run.get(name)
        return tuple(map(str, found)) if isinstance(found, dict) else ()

    @cached_property
    def command(self) -> tuple[str, ...]:
        """What starts."""
        return (*self.words("Entrypoint"), *(self.asked.words or self.words("Cmd")))

    @cached_property
    def user(self) -> Who:
        """Who runs it."""
        return who(self.root, self.text("User"))

    @cached_property
    def env(self) -> dict[str, str]:
        """Its variables."""
        return dict(word.split("=", 1) for word in self.words("Env") if "=" in word)

    @cached_property
    def search_path(self) -> tuple[str, ...]:
        """The directories of PATH, absolute."""
        folders = self.env.get("PATH", DEFAULT_PATH).split(":")
        return tuple(self.absolute(folder or ".") for folder in folders)

    def absolute(self, path: str) -> str:
        """A path as the app would look it up."""
        place = self.text("WorkingDir") or "/"
        return path if path.startswith("/") else f"{place.rstrip('/')}/{path}"

    def find(self, program: str) -> str | None:
        """Where exec(3) finds a program; None where there is no such file."""
        folders = [""] if "/" in program else self.search_path
        for folder in folders:
            path = f"{folder.rstrip('/')}/{program}" if folder else self.absolute(program)
            found = self.root.resolve(path)
            if found.exists and self.root.kind(found.path) is Kind.FILE:
                return path
        return None
