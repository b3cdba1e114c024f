"""The command ``profile``: parse, call one function for each profile, print."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.console import say, warn
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.text import format_count

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

The profiles allow only what the traced runs did. Trace with run --syscalls all to omit the calls
that are otherwise assumed. A profile refuses what no run did: use every feature of the app in the
traced runs.

Exit status: 0; 2 usage; 125 if a trace cannot be read or a profile cannot be written.
"""
_DEFAULT_NAME = "slimtrace-app"


def profile(
    traces: Annotated[
        list[str], typer.Argument(metavar="TRACE...", help="Traces of the same app.")
    ],
    seccomp: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write a seccomp profile for containers to FILE; - is stdout."
        ),
    ] = None,
    apparmor: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write an AppArmor profile to FILE; - is stdout."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the AppArmor profile.")
    ] = _DEFAULT_NAME,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYSCALL",
            help="Allow this system call too, with any arguments. Can be repeated.",
        ),
    ] = None,
    no_new_privileges: Annotated[
        bool,
        typer.Option(
            "--no-new-privileges",
            help="For containers with no-new-privileges: omit the calls that only other "
            "containers need to start.",
        ),
    ] = False,
    image: shared.FullImageReference = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    allow_changed: shared.AllowChanged = False,
    json: shared.Json = False,
) -> None:
    """Write seccomp and AppArmor profiles for the app."""
    from slimtrace.builder.profile.apparmor.apparmor_profile import check_name  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    _check_output(seccomp, apparmor, json=json)
    _check_calls(allow or ())
    check_name(name)
    trace = read_trace(traces)
    if not trace.runs:
        raise SlimtraceError("cannot make a profile: the trace has no run", "trace the app again")
    documents: dict[str, Any] = {}
    if seccomp is not None:
        documents["seccomp"] = _write_seccomp(
            trace, seccomp, allow or (), no_new_privileges=no_new_privileges
        )
    if apparmor is not None:
        documents["apparmor"] = _write_apparmor(
            trace, apparmor, name, image, allow_changed=allow_changed
        )
    if not all(run.complete for run in trace.runs):
        warn(
            Caution(
                "the trace may be incomplete: the profile refuses what it lacks",
                "slimtrace show TRACE says what; trace the app again, or allow calls with --allow",
            )
        )
    if json:
        print(orjson.dumps(documents, option=orjson.OPT_INDENT_2).decode())


def _check_output(seccomp: str | None, apparmor: str | None, *, json: bool) -> None:
    """:raises SlimtraceError: no profile is requested, or one could not be written."""
    from slimtrace.builder.images.write.atomic import check_file  # noqa: PLC0415 -- --help pays nothing

    if seccomp is None and apparmor is None:
        raise UsageError("cannot write a profile: no FILE is given", "add --seccomp FILE")
    if [seccomp, apparmor, "-" if json else None].count("-") > 1:
        raise UsageError("cannot write two documents to stdout", "name a FILE for one of them")
    for path in (seccomp, apparmor):
        if path not in {None, "-"} and not _is_special(str(path)):
            check_file(str(path))


def _is_special(path: str) -> bool:
    """Whether it is a pipe or a device, as a shell gives it; it is written to in place."""
    return os.path.exists(path) and not os.path.isdir(path) and not os.path.isfile(path)


def _check_calls(allow: Sequence[str]) -> None:
    """:raises UsageError: a call exists on no machine."""
    from slimtrace.tracer.syscalls.classes import classify  # noqa: PLC0415 -- --help pays nothing

    for call in allow:
        if classify(call) is None:
            raise UsageError(
                f"cannot use --allow {call}: there is no such system call",
                "names are those of man pages, as in --allow keyctl",
            )


def _write_seccomp(
    trace: Trace, path: str, allow: Sequence[str], *, no_new_privileges: bool
) -> dict[str, Any]:
    from slimtrace.builder.profile.seccomp.architectures import find_architectures  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.profile.seccomp.required_calls import SENSITIVE_CALLS  # noqa: PLC0415
    from slimtrace.builder.profile.seccomp.seccomp_profile import to_profile  # noqa: PLC0415
    from slimtrace.builder.profile.seccomp.seccomp_rules import (  # noqa: PLC0415
        find_families,
        make_rules,
        name_family,
    )

    machines = find_architectures(trace)
    if unknown := [call for call in allow if call not in machines.calls]:
        raise UsageError(
            f"cannot use --allow {unknown[0]}: {machines.architectures[0]} has no such call",
            "leave it out",
        )
    rules = make_rules(trace, machines.calls, allow, no_new_privileges=no_new_privileges)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    _write(path, orjson.dumps(to_profile(machines, rules), option=options))
    allowed = _list_allowed(rules)
    sensitive = sorted(SENSITIVE_CALLS & allowed)
    families = [name_family(family) for family in sorted(find_families(trace))]
    calls = f"{len(allowed)} of {len(machines.calls)} system calls"
    say(f"wrote {_display_name(path)}: {calls}; sockets: {', '.join(families) or 'none'}")
    if "socketcall" in allowed:
        warn(
            Caution(
                "it allows 32-bit programs sockets of every family: a profile cannot see the "
                "family in socketcall's arguments",
                "trace a 64-bit build of the app, or remove socketcall from the profile",
            )
        )
    if sensitive:
        fact = f"it allows {', '.join(sensitive)}, because a run made these calls"
        warn(Caution(fact, "if the app does without, trace it without them, or remove them"))
    return {
        "file": path,
        "architectures": list(machines.architectures),
        "allowed": sorted(allowed),
        "families": families,
        "telling": sensitive,
    }


def _list_allowed(rules: Sequence[SeccompRule]) -> set[str]:
    return {name for rule in rules if rule.errno is None for name in rule.names}


def _write_apparmor(
    trace: Trace, path: str, name: str, image: str | None, *, allow_changed: bool
) -> dict[str, Any]:
    from slimtrace.builder.build_options import BuildOptions  # noqa: PLC0415
    from slimtrace.builder.full_image import become_root_for, open_full_image  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.pipeline import select  # noqa: PLC0415
    from slimtrace.builder.profile.apparmor.apparmor_profile import render_profile  # noqa: PLC0415

    become_root_for(trace, image)
    root = open_full_image(trace, image).root
    selection = select(trace, root, BuildOptions(allow_changed=allow_changed))
    lines = render_profile(trace, root, selection, name)
    _write(path, "".join(f"{line}\n" for line in lines).encode("ascii"))
    rules = sum(line.endswith(",") for line in lines)
    say(f"wrote {_display_name(path)}: {format_count(rules, 'rule')}, profile {name}")
    return {"file": path, "name": name, "rules": rules}


def _display_name(path: str) -> str:
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
