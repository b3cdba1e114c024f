"""What a test says of a service, and the command line that starts it."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LATER = 5.0
"""Seconds for which slimtrace waits longer than we, whose message is to be read."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What is to be started. ``{port}`` in words, ``ready`` and values becomes a free port.

    :ivar ready: an http(s) URL, ``tcp:PORT`` or ``tcp:HOST:PORT``.
    :ivar timeout: how many seconds it may take to be ready.
    :ivar image: the image to run it in; None for this machine's root.
    :ivar env: variables beside those of this process, or of the image.
    :ivar options: further words of ``slimtrace run``.
    """

    command: tuple[str, ...]
    ready: str
    cwd: str
    timeout: float = 60.0
    image: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What messages call it."""
        return shlex.join(self.command) or str(self.image)


def make_service_spec(
    command: str | Sequence[str],
    ready: str,
    cwd: str,
    *,
    timeout: float = 60.0,
    image: str | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> ServiceSpec:
    """What is to be started, as tests say it: a string is split as the shell would.

    :raises UsageError: there is neither a command nor an image.
    """
    words = shlex.split(command) if isinstance(command, str) else command
    if not words and image is None:
        raise UsageError("cannot start a service: there is no command")
    variables = tuple((env or {}).items())
    return ServiceSpec(tuple(words), ready, cwd, timeout, image, variables, tuple(options))


def make_argv(wanted: ServiceSpec, trace: str | None) -> list[str]:
    """The command line: python -P, for the app's folder may have modules of our names."""
    python = [sys.executable, "-P", "-m"]
    # The kernel would take the end of any other thread for that of the process.
    is_main = threading.current_thread() is threading.main_thread()
    parent = str(os.getpid()) if is_main else "0"
    if trace is None:
        return [
            *python,
            "slimtrace.tracer.pytest_plugin.parent_death",
            parent,
            "--",
            *wanted.command,
        ]
    words = ["-q", "run", "--append", "-o", trace, "--ready", wanted.ready]
    words += ["--ready-timeout", f"{wanted.timeout + _LATER:g}"]
    if wanted.image is not None:
        words += ["--image", wanted.image]
        words += [word for name, value in wanted.env for word in ("-e", f"{name}={value}")]
    words += [*wanted.options, "--", *wanted.command]
    return [
        *python,
        "slimtrace.tracer.pytest_plugin.parent_death",
        "exec",
        parent,
        "--",
        *python,
        "slimtrace",
        *words,
    ]


def make_environment(wanted: ServiceSpec) -> dict[str, str]:
    """Our own, without what pytest says in it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return own | (dict(wanted.env) if wanted.image is None else {})


def choose_port(wanted: ServiceSpec) -> ServiceSpec:
    """A free port in the place of every ``{port}``."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def put(text: str) -> str:
        return text.replace("{port}", port)

    return replace(
        wanted,
        command=tuple(map(put, wanted.command)),
        ready=put(wanted.ready),
        env=tuple((name, put(value)) for name, value in wanted.env),
        options=tuple(map(put, wanted.options)),
    )
