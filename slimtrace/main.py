"""The command line: joins the tracer and the builder."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from importlib import import_module
from itertools import dropwhile
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from slimtrace.builder.services import Services
from slimtrace.tracer.console import fail, verbosity
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.tracer.image.opened_image import OpenedImage
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.startup.trial import Trial, TrialResult
    from slimtrace.tracer.trace.trace import Run

_FAILURE = 125

_HELP = """slimtrace runs your app, records every file it uses, and builds a container image with
only those files.

Examples:

  slimtrace run -- python app.py

  slimtrace build slimtrace.trace -o app.tar

Each command explains its options: slimtrace run --help
"""

app = typer.Typer(
    name="slimtrace",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = {
    "run": "slimtrace.tracer.cli.run",
    "attach": "slimtrace.tracer.cli.attach",
    "show": "slimtrace.tracer.cli.show",
    "merge": "slimtrace.tracer.cli.merge",
    "build": "slimtrace.builder.cli.build",
    "slim": "slimtrace.slim",
    "verify": "slimtrace.builder.cli.verify",
    "compare": "slimtrace.builder.cli.compare",
    "suggest": "slimtrace.builder.cli.suggest",
    "profile": "slimtrace.builder.cli.profile",
    "sbom": "slimtrace.builder.cli.sbom",
    "check": "slimtrace.builder.cli.check",
    "cache": "slimtrace.builder.cli.cache",
}
"""The module of each command, in the order of ``--help``."""
_STOP_AT_COMMAND = {"allow_interspersed_args": False, "ignore_unknown_options": False}
_SETTINGS = {"run": _STOP_AT_COMMAND, "slim": _STOP_AT_COMMAND}


def _register(argv: Sequence[str]) -> None:
    """Register the command that argv names. To import the others costs time at every start.

    Registers all commands if argv names none, as in ``--help``, and for completion.
    """
    names = [arg for arg in argv if arg in COMMANDS][:1]
    if not names or "_SLIMTRACE_COMPLETE" in os.environ:
        names = [*COMMANDS]
    for name in names:
        function = getattr(import_module(COMMANDS[name]), name)
        settings = _SETTINGS.get(name)
        app.command(name, cls=_command_class(name), context_settings=settings)(function)


def _command_class(name: str) -> type[TyperCommand]:
    if name in {"run", "compare"}:
        from slimtrace.tracer.cli.drive_command import DriveCommand  # noqa: PLC0415 -- for runs alone

        return DriveCommand
    if name == "slim":
        from slimtrace.slim import SlimCommand  # noqa: PLC0415 -- for this command alone

        return SlimCommand
    if name != "build":
        return TyperCommand
    from slimtrace.builder.cli.option_values import SbomCommand  # noqa: PLC0415 -- for builds alone

    return SbomCommand


class _Image(NamedTuple):
    """What the tracer needs of a full image."""

    source: str
    root: str
    digest: str | None
    config: Mapping[str, Any]


def _opened(image: FullImage) -> _Image:
    return _Image(image.source, image.root, image.digest, image.run_config)


def _open_image(image: str, platform: str | None) -> AbstractContextManager[OpenedImage]:
    from slimtrace.builder.images.read.full_image_source import open_image  # noqa: PLC0415 -- for images alone
    from slimtrace.builder.images.read.platform_choice import parse_platform  # noqa: PLC0415

    parse_platform(platform)

    @contextmanager
    def opening() -> Iterator[OpenedImage]:
        yield _opened(open_image(image, platform))

    return opening()


def _rerun(
    image: FullImage,
    run: Run,
    trace: str,
    changes: RerunOptions,
    *,
    is_default: bool,
    user: str | None,
    below: str | None,
) -> None:
    from slimtrace.tracer.rerun import rerun, rerun_here  # noqa: PLC0415 -- for verifications alone

    if image.root == "/":
        rerun_here(run, trace, changes)
        return
    opened = _opened(image)
    rerun(opened, run, trace, changes, is_default=is_default, user=user, below=below)


def _start(image: FullImage, trial: Trial) -> TrialResult:
    from slimtrace.tracer.startup.start import start_image  # noqa: PLC0415 -- for checks alone

    return start_image(_opened(image), trial)


def _check_rerun(changes: RerunOptions, ready: str | None) -> None:
    from slimtrace.tracer.rerun_checks import check_changes  # noqa: PLC0415 -- for verifications alone

    check_changes(changes, ready)


def make_services() -> Services:
    """What commands need of both halves."""
    return Services(_open_image, _rerun, _start, _check_rerun)


def _print_version(is_given: bool) -> None:
    if is_given:
        print(f"slimtrace {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Print more, and tracebacks.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only errors and warnings.")
    ] = False,
    version: Annotated[  # noqa: ARG001 -- acted upon by its callback
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """The options before the command."""
    verbosity.verbose = verbose
    verbosity.quiet = quiet


def main() -> None:
    """Run the command line. A failure prints one line and a next step."""
    try:
        status = _run(_read_arguments(sys.argv[1:]))
    except SlimtraceError as error:
        _fail(error, error.message, error.hint, error.exit_status, error.lines)
    except BrokenPipeError:  # the reader has closed the pipe, as head(1) does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(128 + 2)
    except Exception as error:  # noqa: BLE001 -- the error boundary
        _fail(error, f"internal error: {type(error).__name__}: {error}", _REPORT, _FAILURE)
    sys.exit(status)


def _run(argv: list[str]) -> int:
    """Run a command; return its exit status.

    :raises UsageError: typer refuses the arguments.
    """
    _register(argv)
    group = typer.main.get_command(app)
    try:
        status = group.main(argv, "slimtrace", standalone_mode=False, obj=make_services())
    except Exception as error:
        if not isinstance(error, _TYPER_ERROR):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # its text is the help
            error.show()
            return int(error.exit_code)
        from slimtrace.usage_message import explain_usage  # noqa: PLC0415 -- for mistakes alone

        name = next((arg for arg in argv if arg in COMMANDS), "")
        command = getattr(group, "commands", {}).get(name)
        raise UsageError(*explain_usage(error, name, command)) from error
    return status if isinstance(status, int) else 0


def _read_arguments(argv: list[str]) -> list[str]:
    """The arguments, with ``help`` and ``version`` as options.

    :raises UsageError: they name a command that does not exist.
    """
    words = [*dropwhile(lambda arg: arg in _FLAGS, argv)]
    first = words[0] if words else ""
    if first == "version":
        return ["--version"]
    if first == "help":
        words = words[1:2]
        argv = [*words, "--help"]
        first = words[0] if words else ""
    if first and not first.startswith("-") and first not in COMMANDS:
        from slimtrace.usage_message import explain_unknown_command  # noqa: PLC0415 -- for mistakes alone

        raise UsageError(*explain_unknown_command(first, (*COMMANDS, "version", "help")))
    return argv


_FLAGS = ("-v", "--verbose", "-q", "--quiet")
_TYPER_ERROR: type[typer.BadParameter] = typer.BadParameter.__bases__[0]
"""The base of all errors in arguments; typer has its own click from version 0.28 on."""
_REPORT = "please report this bug, with the output of slimtrace --verbose"


def _fail(
    error: Exception, message: str, hint: str | None, status: int, lines: tuple[str, ...] = ()
) -> None:
    if verbosity.verbose:
        raise error
    if hint is None and isinstance(error, UsageError) and "choose " not in message:
        name = next((arg for arg in sys.argv[1:] if arg in COMMANDS), "")
        hint = f"see slimtrace {name} --help".replace("  ", " ")
    fail(message, hint, lines)
    sys.exit(status)


if __name__ == "__main__":
    main()
