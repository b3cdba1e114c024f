"""The front door: joins the tracer and the builder into one command line."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from slimtrace.builder.cli.build import SbomCommand
from slimtrace.builder.services import Services
from slimtrace.tracer.console import fail, verbosity
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.tracer.image.opened_image import OpenedImage
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.startup.trial import Trial, TrialResult
    from slimtrace.tracer.trace.trace import Run

_FAILURE = 125

app = typer.Typer(
    name="slimtrace",
    help="Derives minimal container images from what an app is observed to touch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = {
    "run": "slimtrace.tracer.cli.run",
    "attach": "slimtrace.tracer.cli.attach",
    "show": "slimtrace.tracer.cli.show",
    "merge": "slimtrace.tracer.cli.merge",
    "build": "slimtrace.builder.cli.build",
    "slim": "slimtrace.builder.cli.slim",
    "verify": "slimtrace.builder.cli.verify",
    "suggest": "slimtrace.builder.cli.suggest",
    "profile": "slimtrace.builder.cli.profile",
    "sbom": "slimtrace.builder.cli.sbom",
    "check": "slimtrace.builder.cli.check",
    "cache": "slimtrace.builder.cli.cache",
}
"""Where each command lies, in the order of ``--help``."""
_UP_TO_THE_COMMAND = {"allow_interspersed_args": False, "ignore_unknown_options": False}
_SETTINGS = {"run": _UP_TO_THE_COMMAND, "slim": _UP_TO_THE_COMMAND}
_CLASSES = {"build": SbomCommand, "slim": SbomCommand}


def _register(words: Sequence[str]) -> None:
    """Have the command that the words name: the others' options cost time at every start.

    All of them where no word is one, as in ``--help``, or completion asks.
    """
    asked = [word for word in words if word in _COMMANDS][:1]
    if not asked or "_SLIMTRACE_COMPLETE" in os.environ:
        asked = [*_COMMANDS]
    for name in asked:
        kind = _CLASSES.get(name, TyperCommand)
        app.command(name, cls=kind, context_settings=_SETTINGS.get(name))(_function(name))


def _function(name: str) -> Callable[..., None]:
    module = import_module(_COMMANDS[name])
    if name == "slim":
        function: Callable[..., None] = module.slim_of(_function("run"))
    else:
        function = getattr(module, name)
    return function


class _Image(NamedTuple):
    """What the tracer needs of a full image."""

    source: str
    root: str
    digest: str | None
    config: Mapping[str, Any]


def _opened(image: FullImage) -> _Image:
    config = image.config.get("config")
    run_config = config if isinstance(config, dict) else {}
    return _Image(image.source, image.root, image.digest, run_config)


def _open_image(image: str, platform: str | None) -> AbstractContextManager[OpenedImage]:
    from slimtrace.builder.images.read.full_image_source import open_image  # noqa: PLC0415 -- for images alone
    from slimtrace.tracer.host.rootless import become_root  # noqa: PLC0415

    become_root()
    return nullcontext(_opened(open_image(image, platform)))


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
    from slimtrace.tracer.startup.start import tried  # noqa: PLC0415 -- for checks alone

    return tried(_opened(image), trial)


def make_services() -> Services:
    """What commands need of both halves."""
    return Services(_open_image, _rerun, _start)


def _version(asked: bool) -> None:
    if asked:
        print(f"slimtrace {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Say more, and show tracebacks.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what went wrong.")] = False,
    version: Annotated[  # noqa: ARG001 -- acted upon by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What holds for every command."""
    verbosity.verbose = verbose
    verbosity.quiet = quiet


def main() -> None:
    """Run the command line; every failure ends as one line and a documented exit status."""
    try:
        _register(sys.argv[1:])
        app(obj=make_services())
    except SlimtraceError as error:
        _fail(error, error.message, error.hint, error.exit_status)
    except BrokenPipeError:  # as head(1) leaves us: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    except KeyboardInterrupt:
        sys.exit(128 + 2)
    except Exception as error:  # noqa: BLE001 -- the error boundary
        _fail(error, f"cannot go on: {type(error).__name__}: {error}", _REPORT, _FAILURE)


_REPORT = "this is a fault of slimtrace: --verbose shows where"


def _fail(error: Exception, message: str, hint: str | None, status: int) -> None:
    if verbosity.verbose:
        raise error
    fail(message, hint)
    sys.exit(status)


if __name__ == "__main__":
    main()
