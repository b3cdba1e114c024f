"""The command ``slim``: run, build and verify in one go, with the options of the three."""

from __future__ import annotations

import inspect
import signal
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from slimtrace.builder.cli.build import build, build_options, tell_build
from slimtrace.builder.cli.verify import tell, verify
from slimtrace.tracer.console import warn
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.services import Services

_HELP = """Trace COMMAND, build its slim image, verify it there, and add what is missing.

Examples:

  slimtrace slim -o app.tar --ready http://127.0.0.1:8080/ --http-get /users -- python app.py

  slimtrace slim -o oci:app:v1 --image oci:./full --exec 'pytest tests/integration' --read-only

The options are those of run, build and verify. --env holds for the runs and is not in the image;
--user and --workdir are the app's in --image, and without --image those of the slim image;
--user is the slim image's in both.

Exit status: 0 built and verified; 1 built and not verified, or a driver failed; that of run where
COMMAND could not be traced; 125 failure.
"""
_OF_THE_RUN = ("env", "volume", "entrypoint", "stop_signal")
_OF_THE_APP = ("user", "workdir")
"""Options of run and build: of the run where the app has an image, else of the build."""

_OF_VERIFY = ("context", "image", "full_image", "traces", "heal", "json")

_Trace = Annotated[
    str, typer.Option("--trace", metavar="TRACE", help="Where the trace goes, for later builds.")
]
_NoHeal = Annotated[bool, typer.Option("--no-heal", help="Only tell what is missing; add nothing.")]


def slim_of(run: Callable[..., None]) -> Callable[..., None]:
    """The command.

    :param run: the command ``run``, which traces.
    """

    def slim(context: typer.Context, **given: Any) -> None:
        options = _checked(given)
        _trace(run, context, given)
        _build(context.obj, given, options)

    parts = (
        (run, ("context", "output")),
        (build, ("context", "traces", "image", *_OF_THE_RUN, *_OF_THE_APP)),
        (verify, (*_OF_VERIFY, *_OF_THE_RUN, *_OF_THE_APP)),
    )
    own = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        inspect.Parameter("trace", own, default="slimtrace.trace", annotation=_Trace),
        inspect.Parameter("no_heal", own, default=False, annotation=_NoHeal),
    ]
    for function, left_out in parts:
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            if name not in left_out:
                parameters.append(parameter.replace(kind=own))
    slim.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    slim.__annotations__ = {}
    slim.__doc__ = _HELP
    return slim


def _trace(run: Callable[..., None], context: typer.Context, given: dict[str, Any]) -> None:
    """Run it.

    :raises typer.Exit: it failed, which was told.
    :raises SlimtraceError: the app failed by itself.
    """
    words = {name: given[name] for name in inspect.signature(run).parameters if name in given}
    if given["image"] is None:
        words |= dict.fromkeys((*_OF_THE_APP, "env"))
    try:
        run(context, **{**words, "output": given["trace"]})
    except typer.Exit:
        last = read_trace(given["trace"]).runs[-1]
        if last.driven is not None and last.driven.failure is not None:
            raise
        stops = {0, 128 + signal.SIGINT, 128 + signal.SIGTERM}
        is_stopped = last.driving is not None and bool(last.driven)
        if last.exit_status not in stops and not is_stopped:
            raise SlimtraceError(
                f"cannot slim {last.command[0]}: it failed: exit status {last.exit_status}",
                f"where that is how it ends, build from {given['trace']} and verify",
            ) from None


def _checked(given: dict[str, Any]) -> BuildOptions:
    """What the build is to be, checked before the work.

    :raises UsageError: it makes no sense.
    """
    from slimtrace.builder.images.write.destination import parse_destination  # noqa: PLC0415 -- as below
    from slimtrace.builder.option_checks import check_options  # noqa: PLC0415

    words = {**given, **dict.fromkeys((*_OF_THE_RUN, "image"))}  # that is where it runs
    if given["image"] is not None:
        words["workdir"] = None
    options = build_options(words)
    check_options(options)
    parse_destination(given["output"], options.tag).prepare()
    return options


def _build(services: Services, given: dict[str, Any], build_options: BuildOptions) -> None:
    """:raises typer.Exit: with 1 where the image is not verified."""
    from slimtrace.builder.pipeline import reported  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.verify.verify import VerifyOptions, build_verified  # noqa: PLC0415

    env, volumes = tuple(given["env"] or ()), tuple(given["volume"] or ())
    cap_drop = tuple(given["cap_drop"] or ())
    changes = RerunOptions(env, volumes, None, given["read_only"], cap_drop)
    if build_options.jlink:
        from slimtrace.builder.verify.java_modules import observe  # noqa: PLC0415 -- for Java alone

        observe([given["trace"]], build_options, services.rerun, env, volumes)
    options = VerifyOptions(not given["no_heal"], tuple(given["ignore"] or ()), changes=changes)
    made, verdict = build_verified(
        [given["trace"]], given["output"], build_options, options, services.rerun
    )
    if given["json"]:
        document = {**reported(made).document(), "verify": verdict.document()}
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        tell_build(reported(made))
        tell(verdict)
    if not verdict.passed:
        warn(f"{verdict.image} was built all the same")
        raise typer.Exit(1)
