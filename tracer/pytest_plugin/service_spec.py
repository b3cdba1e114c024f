"""A test's description of a service, and the command line that starts it."""

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

_EXTRA_SECONDS = 5.0
"""slimtrace waits so much longer than we do, so that the user sees our message."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """How to start a service. ``{port}`` in arguments, ``ready`` and values is a free port.

    :ivar ready: an http(s) URL, ``tcp:PORT`` or ``tcp:HOST:PORT``.
    :ivar timeout: how many seconds it may take to be ready.
    :ivar image: the image to run it in; None for this machine's root.
    :ivar env: variables to add to those of this process, or of the image.
    :ivar options: further arguments of ``slimtrace run``.
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
        """Its name in messages."""
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
    """Make a specification from a test's arguments: a string is split like in a shell.

    :raises UsageError: there is neither a command nor an image.
    """
    argv = shlex.split(command) if isinstance(command, str) else command
    if not argv and image is None:
        raise UsageError("cannot start a service: there is no command")
    variables = tuple((env or {}).items())
    return ServiceSpec(tuple(argv), ready, cwd, timeout, image, variables, tuple(options))


def make_argv(spec: ServiceSpec, trace: str | None) -> list[str]:
    """Return the command line: python -P, because the app's folder may have modules like ours."""
    python = [sys.executable, "-P", "-m"]
    # In any other thread the kernel would take the end of the thread for the end of the parent.
    is_main = threading.current_thread() is threading.main_thread()
    parent = str(os.getpid()) if is_main else "0"
    if trace is None:
        return [
            *python,
            "slimtrace.tracer.pytest_plugin.parent_death",
            parent,
            "--",
            *spec.command,
        ]
    arguments = ["-q", "run", "--append", "-o", trace, "--ready", spec.ready]
    arguments += ["--ready-timeout", f"{spec.timeout + _EXTRA_SECONDS:g}"]
    if spec.image is not None:
        arguments += ["--image", spec.image]
        arguments += [
            argument for name, value in spec.env for argument in ("-e", f"{name}={value}")
        ]
    arguments += [*spec.options, "--", *spec.command]
    return [
        *python,
        "slimtrace.tracer.pytest_plugin.parent_death",
        "exec",
        parent,
        "--",
        *python,
        "slimtrace",
        *arguments,
    ]


def make_environment(spec: ServiceSpec) -> dict[str, str]:
    """Return our environment without pytest's variables."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return own | (dict(spec.env) if spec.image is None else {})


def choose_port(spec: ServiceSpec) -> ServiceSpec:
    """Replace every ``{port}`` with one free port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def put(text: str) -> str:
        return text.replace("{port}", port)

    return replace(
        spec,
        command=tuple(map(put, spec.command)),
        ready=put(spec.ready),
        env=tuple((name, put(value)) for name, value in spec.env),
        options=tuple(map(put, spec.options)),
    )
