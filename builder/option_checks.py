"""Checks the options of a build, as far as possible without the image."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from slimtrace.tracer.caution import Caution, UnmatchedCaution
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.image.accounts import check_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.builder.build_options import BuildOptions

_MODULE = re.compile(r"\w+(?:\.\w+)*")
_SIGNALS = frozenset(
    {
        *(each.name.removeprefix("SIG") for each in signal.Signals),
        *(f"RTMIN+{number}" for number in range(1, 16)),
        *(f"RTMAX-{number}" for number in range(1, 15)),
        *map(str, range(1, 65)),
    }
)
"""The names in signal(7), and those that engines accept (github.com/moby/sys, signal)."""


def check_matches(warnings: Iterable[Caution]) -> None:
    """With ``--strict``, check that each pattern matched something.

    :raises UsageError: one did not.
    """
    for caution in warnings:
        if isinstance(caution, UnmatchedCaution):
            raise UsageError(f"cannot build: {caution.fact}", caution.next_step)


def check_globs(option: str, patterns: Iterable[str]) -> None:
    """Check the patterns of an option.

    :raises UsageError: one cannot match anything, because it is not absolute.
    """
    for pattern in patterns:
        if not pattern.startswith("/"):
            raise UsageError(
                f"cannot use {option} {pattern!r}: patterns are absolute paths in the image",
                f"as in {option} '/{pattern}'",
            )


def check_options(options: BuildOptions) -> None:
    """Check the options before the build starts.

    :raises UsageError: an option is not valid, as an ``--env`` without ``=``.
    """
    from slimtrace.builder.closure.rules import choose_rules  # noqa: PLC0415 -- --help pays nothing

    choose_rules(options.keep, options.without_rules)
    parse_pairs("--env", options.env)
    parse_pairs("--label", options.labels)
    check_globs("--include", options.include)
    check_globs("--exclude", options.exclude)
    check_globs("--allow-secret", options.allow_secret)
    for option, names in (
        ("--drop-process", options.drop_process),
        ("--only-process", options.only_process),
    ):
        if "" in names:
            raise UsageError(f"cannot use {option} '': it is empty", "slimtrace show lists them")
    for module in options.jlink_modules:
        if not _MODULE.fullmatch(module):
            raise UsageError(
                f"cannot use --jlink-modules {module}: it is not the name of a module",
                "as in --jlink-modules jdk.zipfs",
            )
    if options.user is not None:
        check_user(options.user)
    for exposed in options.expose:
        parse_port(exposed)
    for path in options.volumes:
        _check_absolute("--volume", path)
    if options.workdir is not None:
        _check_absolute("--workdir", options.workdir)
    if options.stop_signal is not None:
        _check_signal(options.stop_signal)


def parse_pairs(option: str, texts: tuple[str, ...]) -> Mapping[str, str]:
    """Parse the ``NAME=VALUE`` strings of an option.

    :raises UsageError: a string is not ``NAME=VALUE``.
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(
                f"cannot use {option} {text}: it is not NAME=VALUE", f"as in {option} KEY=value"
            )
        pairs[name] = value
    return pairs


def parse_port(text: str) -> str:
    """Parse ``PORT`` or ``PORT/PROTOCOL``, and return it with the protocol.

    :raises UsageError: it is neither.
    """
    number, slash, protocol = text.partition("/")
    is_known = (protocol or "tcp") in ("tcp", "udp", "sctp") and (protocol or not slash)
    if not (number.isdecimal() and 0 < int(number) < 65536 and is_known):
        raise UsageError(
            f"cannot use --expose {text}: it is not PORT or PORT/PROTOCOL",
            "as in --expose 8080/tcp",
        )
    return f"{int(number)}/{protocol or 'tcp'}"


def _check_absolute(option: str, path: str) -> None:
    if not path.startswith("/"):
        raise UsageError(
            f"cannot use {option} {path}: it is not absolute", f"as in {option} /{path}"
        )


def _check_signal(text: str) -> None:
    if text.upper().removeprefix("SIG") not in _SIGNALS:
        raise UsageError(
            f"cannot use --stop-signal {text}: there is no such signal",
            "as in --stop-signal SIGINT",
        )
