"""Combines an image's config with the user's options, as container engines do.

Source: OCI image-spec, config.md.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.image.runtime import ImageRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slimtrace.tracer.image.runtime import Volume


def choose_command(
    config: Mapping[str, Any], words: Sequence[str], entrypoint: str | None
) -> tuple[str, ...]:
    """The command to run.

    :param config: the ``config`` object of an image configuration.
    :param words: the arguments after ``--``; they replace Cmd.
    :param entrypoint: replaces Entrypoint: one program or a JSON list of strings. The image's Cmd
        is then ignored. An empty one removes the image's.
    :raises SlimtraceError: the image has neither, or one of a wrong type.
    """
    first = _strings(config, "Entrypoint") if entrypoint is None else parse_entrypoint(entrypoint)
    rest = tuple(words) or (_strings(config, "Cmd") if entrypoint is None else ())
    if not (*first, *rest):
        raise SlimtraceError(
            "cannot run the image: it has neither Entrypoint nor Cmd",
            "name the command: slimtrace run --image IMAGE -- COMMAND",
        )
    return (*first, *rest)


def make_image_run(
    image: str,
    root: str,
    digest: str | None,
    config: Mapping[str, Any],
    *,
    env: Sequence[str] = (),
    user: str | None = None,
    workdir: str | None = None,
    volumes: tuple[Volume, ...] = (),
    network: str = "host",
    hostname: str | None = None,
    no_new_privileges: bool = False,
    has_reaper: bool = False,
    machine: Mapping[str, str] = os.environ,
) -> ImageRun:
    """The image to run, by its config unless an option replaces a value.

    :param env: ``NAME=VALUE``, or ``NAME`` for this machine's value, if it has one.
    :raises UsageError: an option cannot be parsed, or ``workdir`` is relative.
    :raises SlimtraceError: a value of the config has the wrong type, or its WorkingDir is relative.
    """
    place = workdir or _string(config, "WorkingDir") or "/"
    if not place.startswith("/"):
        if not workdir:
            raise SlimtraceError(f"cannot run {image}: its WorkingDir {place} is not absolute")
        raise UsageError(f"cannot use --workdir {place}: it is not absolute")
    return ImageRun(
        root=root,
        image=image,
        digest=digest,
        env={**_pairs(_strings(config, "Env")), **_given(env, machine)},
        user=user if user is not None else _string(config, "User"),
        workdir=os.path.normpath(place),
        volumes=volumes,
        network=network,
        hostname=hostname,
        declared_volumes=_list_volumes(config),
        no_new_privileges=no_new_privileges,
        has_reaper=has_reaper,
    )


def parse_image_stop_signal(config: Mapping[str, Any]) -> signal.Signals | None:
    """The signal that stops the image's app; None if it names no signal of this machine."""
    name = str(config.get("StopSignal") or "").upper()
    try:
        if name.isdecimal():
            return signal.Signals(int(name))
        base, plus, number = name.removeprefix("SIG").partition("+")
        return signal.Signals(signal.Signals[f"SIG{base}"] + (int(number) if plus else 0))
    except (KeyError, ValueError):
        return None


def parse_entrypoint(entrypoint: str) -> tuple[str, ...]:
    """Parse ``--entrypoint``: one program, a JSON list of strings, or an empty text for none.

    :raises UsageError: it begins like a list and is none.
    """
    if entrypoint.startswith("["):
        try:
            found = json.loads(entrypoint)
        except json.JSONDecodeError:
            found = None
        if isinstance(found, list) and all(isinstance(word, str) for word in found):
            return tuple(found)
        raise UsageError(f"cannot use --entrypoint {entrypoint}: it is not a JSON list of strings")
    return (entrypoint,) if entrypoint else ()


def _strings(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """:raises SlimtraceError: it is not a list of strings without NUL (execve(2))."""
    found = config.get(name) or []
    if not isinstance(found, list) or not all(map(_is_word, found)):
        raise SlimtraceError(
            f"cannot run the image: its {name} is not a list of strings without NUL"
        )
    return tuple(found)


def _string(config: Mapping[str, Any], name: str) -> str:
    """:raises SlimtraceError: as above."""
    found = config.get(name) or ""
    if not _is_word(found):
        raise SlimtraceError(f"cannot run the image: its {name} is not a string without NUL")
    return str(found)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _list_volumes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The absolute paths in Volumes, except the root."""
    found = config.get("Volumes")
    paths = filter(_is_word, found) if isinstance(found, dict) else ()
    normal = (f"/{os.path.normpath(path).lstrip('/')}" for path in paths if path.startswith("/"))
    return tuple(path for path in normal if path != "/")


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals and name}


def check_variables(words: Sequence[str]) -> None:
    """Check the values of ``--env``.

    :raises UsageError: one has no name.
    """
    for word in words:
        if not word.partition("=")[0]:
            raise UsageError(
                f"cannot use --env {word!r}: it is not NAME=VALUE or NAME", "as in --env LANG=C"
            )


def _given(words: Sequence[str], machine: Mapping[str, str]) -> dict[str, str]:
    check_variables(words)
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals or name in machine:
            found[name] = value if equals else machine[name]
    return found
