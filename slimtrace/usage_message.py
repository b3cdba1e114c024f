"""What typer refuses, in slimtrace's form: ``cannot VERB OBJECT: cause``, and the next step.

Each version of typer has other words, and prints the usage before them. Its exceptions are
therefore read by their kind and attributes; only where a kind has none, by their text.
"""

from __future__ import annotations

import re
import shutil
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    import typer
    from typer.core import TyperCommand

PROGRAM = "slimtrace"
_NETWORK = "the app has this machine's network: its ports are reachable as they are"
_TERMINAL = "the app has slimtrace's own terminal, input and output"
_ENGINE_OPTIONS = {
    **dict.fromkeys(("-p", "--publish", "-P", "--publish-all"), _NETWORK),
    **dict.fromkeys(("-i", "-t", "--interactive", "--tty", "-it", "-ti"), _TERMINAL),
    "--rm": "what the app wrote in the image goes with the run",
    "--name": "no container remains that could have a name",
    **dict.fromkeys(
        ("-d", "--detach"), "slimtrace waits for the app; --ready and a driver end it, or Ctrl-C"
    ),
    "--restart": "slimtrace traces one run; --append adds another one",
    "--pull": "docker:// always reads from the registry",
    "--privileged": "the sandbox gives no more rights than an engine does by default",
    "--tmpfs": "what the app writes is removed with the run; /tmp is in memory",
    "--link": "the app has this machine's network",
}
"""Options of ``docker run`` that the commands do not need → why."""
_OTHER_NAMES = {
    "--mount": "-v HOST:PATH[:ro]",
    "--env-file": "-e NAME=VALUE for each variable",
    "-w": "--workdir PATH",
    "-u": "--user USER[:GROUP]",
    "--net": "--network host|none",
}
"""Options of ``docker run`` → what the commands have in their place."""
_RUNNING = ("run", "slim", "verify", "check")
_EXTRA = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((?P<words>.*)\)")


class UsageMessage(NamedTuple):
    """What is wrong with a command line.

    :ivar hint: the next step.
    """

    message: str
    hint: str


def explain_usage(
    error: typer.BadParameter, name: str, command: TyperCommand | None
) -> UsageMessage:
    """Explain what typer refused.

    :param error: or another of typer's usage errors, which has the same base.
    :param name: of the command; "" before one is known.
    :param command: that command.
    """
    called = f"{PROGRAM} {name}".rstrip()
    shows = f"see {called} --help"
    option = str(getattr(error, "option_name", ""))
    match type(error).__name__:
        case "NoSuchOption":
            message = f"cannot use {option}: {called} has no such option"
            return UsageMessage(message, _suggest_option(option, name, command))
        case "MissingParameter":
            missing = _describe_parameter(getattr(error, "param", None))
            return UsageMessage(f"cannot {name}: {missing} is missing", shows)
        case "BadOptionUsage":
            value = _find_metavar(option, command)
            message = f"cannot use {option}: {value} is missing"
            return UsageMessage(message, f"as in {option} {value}")
    extra = _EXTRA.fullmatch(str(error.message))
    if extra is not None:
        message = f"cannot {name}: there are too many arguments: {extra['words']}"
    elif (parameter := getattr(error, "param", None)) is not None:
        message = f"cannot use {_name_parameter(parameter)} {error.message}"
    else:
        message = f"cannot {name}: {error.message}"
    return UsageMessage(message, shows)


def explain_unknown_command(word: str, names: Collection[str]) -> UsageMessage:
    """Explain that there is no such command.

    :param names: of all commands.
    """
    message = f"cannot do {word!r}: slimtrace has no such command"
    near = _suggest(word, names)
    if near is None and shutil.which(word) is not None:
        return UsageMessage(message, f"to trace this program: {PROGRAM} run -- {word}")
    return UsageMessage(message, near or f"see {PROGRAM} --help")


def _suggest_option(option: str, name: str, command: TyperCommand | None) -> str:
    if name in _RUNNING and option in _OTHER_NAMES:
        return f"use {_OTHER_NAMES[option]}"
    if name in _RUNNING and option in _ENGINE_OPTIONS:
        return f"leave it out: {_ENGINE_OPTIONS[option]}"
    known = [word for each in command.params for word in each.opts] if command else []
    return _suggest(option, known) or f"see {PROGRAM} {name} --help".replace("  ", " ")


def _suggest(word: str, known: Collection[str]) -> str | None:
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else None


def _name_parameter(parameter: object) -> str:
    """An option as ``--output``, an argument as ``TRACE``."""
    options = [*getattr(parameter, "opts", ())]
    if getattr(parameter, "param_type_name", "") == "option" and options:
        return str(max(options, key=len))
    return str(getattr(parameter, "metavar", None) or getattr(parameter, "name", "")).rstrip(".")


def _describe_parameter(parameter: object) -> str:
    """An option with its value, as ``-o DEST``; an argument as ``TRACE``."""
    options = [*getattr(parameter, "opts", ())]
    name = _name_parameter(parameter)
    if getattr(parameter, "param_type_name", "") == "option":
        metavar = getattr(parameter, "metavar", None) or "VALUE"
        return f"{min(options, key=len)} {metavar}"
    return name


def _find_metavar(option: str, command: TyperCommand | None) -> str:
    for parameter in command.params if command else ():
        if option in parameter.opts:
            return str(parameter.metavar or "VALUE")
    return "VALUE"
