"""The command ``profile``: parse, call the functions that it asks for, print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from slimtrace.tracer.console import say, warn
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.profile.seccomp.seccomp_rules import SeccompRule
    from slimtrace.tracer.trace.trace import Trace

_PROFILE_HELP = """
Examples:

  slimtrace profile app.trace --seccomp app.json

  podman run --security-opt seccomp=app.json app

  slimtrace profile idle.trace busy.trace --seccomp - --allow keyctl

  slimtrace profile app.trace --apparmor app.aa --name app

  apparmor_parser -r app.aa && podman run --security-opt apparmor=app app

Trace with run --syscalls all for a profile without the calls that are only assumed. What no run
did is refused: drive the app through all that it should do.

Exit status: 0; 2 usage; 125 when a trace cannot be read or a profile not be written.
"""
_NAME = "slimtrace-app"


def profile(
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Traces of one app.")],
    seccomp: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a seccomp profile for containers; - is stdout."),
    ] = None,
    apparmor: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write an AppArmor profile; - is stdout.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The AppArmor profile's name.")
    ] = _NAME,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="SYSCALL", help="Allow this call too, whatever its arguments."),
    ] = None,
    no_new_privileges: Annotated[
        bool,
        typer.Option(
            "--no-new-privileges",
            help="For containers that run so: leave out what their start needs otherwise.",
        ),
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(metavar="FULL", help="Where the full image lies now: for --apparmor."),
    ] = None,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Go on if files changed: for --apparmor.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what they allow, as JSON.")] = False,
) -> None:
    """Write profiles that confine a container to what the app was seen to do."""
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415 -- --help pays nothing

    _check(seccomp, apparmor, json=json)
    trace = read_trace(traces)
    if not trace.runs:
        raise SlimtraceError("cannot make a profile: the trace has no run", "trace the app again")
    said: dict[str, Any] = {}
    if seccomp is not None:
        said["seccomp"] = _seccomp(trace, seccomp, allow or (), no_new_privileges=no_new_privileges)
    if apparmor is not None:
        said["apparmor"] = _apparmor(trace, apparmor, name, image, allow_changed=allow_changed)
    if not all(run.complete for run in trace.runs):
        warn("the trace may be incomplete: what it lacks is refused")
    if json:
        print(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())


def _check(seccomp: str | None, apparmor: str | None, *, json: bool) -> None:
    """:raises UsageError: nothing is to be written, or two things to stdout."""
    if seccomp is None and apparmor is None:
        raise UsageError("cannot write a profile: none was asked for", "add --seccomp FILE")
    if [seccomp, apparmor, "-" if json else None].count("-") > 1:
        raise UsageError("cannot write two documents to stdout", "name a FILE for one of them")


def _seccomp(
    trace: Trace, path: str, allow: Sequence[str], *, no_new_privileges: bool
) -> dict[str, Any]:
    from slimtrace.builder.profile.seccomp.architectures import machines_of  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.profile.seccomp.required_calls import TELLING  # noqa: PLC0415
    from slimtrace.builder.profile.seccomp.seccomp_profile import document  # noqa: PLC0415
    from slimtrace.builder.profile.seccomp.seccomp_rules import families_of, family_name, rules_of  # noqa: PLC0415

    machines = machines_of(trace)
    if unknown := [call for call in allow if call not in machines.calls]:
        raise UsageError(
            f"cannot --allow {unknown[0]}: {machines.architectures[0]} has no such call"
        )
    rules = rules_of(trace, machines.calls, allow, no_new_privileges=no_new_privileges)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    _write(path, orjson.dumps(document(machines, rules), option=options))
    allowed = _allowed(rules)
    telling = sorted(TELLING & allowed)
    families = [family_name(family) for family in sorted(families_of(trace))]
    of = f"{len(allowed)} of {len(machines.calls)} system calls"
    say(f"wrote {_called(path)}: {of}; sockets: {', '.join(families) or 'none'}")
    if "socketcall" in allowed:
        warn("it allows 32-bit programs sockets of every family: socketcall names them in memory")
    if telling:
        warn(f"it allows {', '.join(telling)}, for the app was seen to")
    return {
        "file": path,
        "architectures": list(machines.architectures),
        "allowed": sorted(allowed),
        "families": families,
        "telling": telling,
    }


def _allowed(rules: Sequence[SeccompRule]) -> set[str]:
    return {name for rule in rules if rule.errno is None for name in rule.names}


def _apparmor(
    trace: Trace, path: str, name: str, image: str | None, *, allow_changed: bool
) -> dict[str, Any]:
    from slimtrace.builder.build_options import BuildOptions  # noqa: PLC0415
    from slimtrace.builder.full_image import full_image  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.pipeline import select  # noqa: PLC0415
    from slimtrace.builder.profile.apparmor.apparmor_profile import check_name, text  # noqa: PLC0415

    check_name(name)
    root = full_image(trace, image).root
    selection = select(trace, root, BuildOptions(allow_changed=allow_changed))
    lines = text(trace, root, selection, name)
    _write(path, "".join(f"{line}\n" for line in lines).encode("ascii"))
    rules = sum(line.endswith(",") for line in lines)
    say(f"wrote {_called(path)}: {rules} rules, profile {name}")
    return {"file": path, "name": name, "rules": rules}


def _called(path: str) -> str:
    return "stdout" if path == "-" else path


def _write(path: str, data: bytes) -> None:
    """:raises SlimtraceError: it cannot be written."""
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise SlimtraceError(f"cannot write {path}: {error.strerror}") from error


profile.__doc__ = f"{profile.__doc__}\n{_PROFILE_HELP}"
