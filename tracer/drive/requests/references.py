"""Expressions in ``{{`` and ``}}`` in requests: variables, made-up values, and references.

A variable and a made-up value are replaced when a request is read, so that the trace has what was
sent. A reference stays in the trace, and is replaced each time when the request is sent: a variable
of the environment, whose value may be a secret, or a part of an earlier answer.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

_EXPRESSION = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_ENVIRONMENT = re.compile(r"\$(?:env|processEnv|dotenv)[ .]+%?(\w+)", re.ASCII)
ANSWER_PART = re.compile(r"([\w-]+)\.response\.(body|headers)\.(.+)", re.ASCII)
"""A part of an earlier answer, by the request's name."""
_RANDOM_INT = re.compile(r"\$(?:randomInt|random\.integer)[ (]+(-?\d+)[ ,]+(-?\d+)\)?")
_MAX_DEPTH = 10
"""How deep variables may refer to variables."""
ENVIRONMENT_PREFIX = "$env "


class UnknownVariableError(ValueError):
    """An expression that stands for nothing."""


def expand(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Replace variables and made-up values, and write references in one way.

    :raises UnknownVariableError: an expression is none of these.
    """

    def replace(found: re.Match[str]) -> str:
        expression = found[1]
        if expression in variables:
            if depth > _MAX_DEPTH:
                raise UnknownVariableError(f"{{{{{expression}}}}} refers to itself")
            return expand(variables[expression], variables, depth + 1)
        if name := _ENVIRONMENT.fullmatch(expression):
            return f"{{{{{ENVIRONMENT_PREFIX}{name[1]}}}}}"
        if ANSWER_PART.fullmatch(expression):
            return f"{{{{{expression}}}}}"
        return _make_up(expression)

    return _EXPRESSION.sub(replace, text)


def list_references(texts: Iterable[str]) -> tuple[str, ...]:
    """The references in texts that were expanded."""
    found = (each[1] for text in texts for each in _EXPRESSION.finditer(text))
    return tuple(dict.fromkeys(each for each in found if _is_reference(each)))


def _is_reference(expression: str) -> bool:
    is_variable = expression.startswith(ENVIRONMENT_PREFIX)
    return is_variable or ANSWER_PART.fullmatch(expression) is not None


def resolve(text: str, references: Iterable[str], look_up: Callable[[str], str]) -> str:
    """Replace these references, and nothing else that looks like one."""
    for reference in references:
        expression = f"{{{{{reference}}}}}"
        if expression in text:
            text = text.replace(expression, look_up(reference))
    return text


def find_variable(reference: str) -> str:
    """The value of a variable of the environment.

    :raises UsageError: it is not set.
    """
    name = reference.removeprefix(ENVIRONMENT_PREFIX)
    if (value := os.environ.get(name)) is None:
        raise UsageError(
            f"cannot send a request with {{{{{reference}}}}}: {name} is not set",
            f"set it for slimtrace, as in {name}=VALUE slimtrace …",
        )
    return value


def check_references(references: Iterable[str], names: Container[str] = ()) -> None:
    """Check that all variables of the environment are set, and all requests are earlier ones.

    :param names: the names of earlier requests.
    :raises UsageError: one is not.
    """
    for reference in references:
        if reference.startswith(ENVIRONMENT_PREFIX):
            find_variable(reference)
        elif (found := ANSWER_PART.fullmatch(reference)) and found[1] not in names:
            raise UsageError(
                f"cannot send a request with {{{{{reference}}}}}: no request before it is named "
                f"{found[1]}",
                f"name one with a line '# @name {found[1]}' above it",
            )


def _make_up(expression: str) -> str:
    import random  # noqa: PLC0415
    import uuid  # noqa: PLC0415 -- slow to import, and rarely used
    from datetime import UTC, datetime  # noqa: PLC0415

    if found := _RANDOM_INT.fullmatch(expression):
        low, high = sorted((int(found[1]), int(found[2])))
        return str(random.randint(low, high))  # noqa: S311 -- sample data
    now = datetime.now(UTC)
    match expression.partition(" ")[0]:
        case "$guid" | "$uuid" | "$random.uuid":
            return str(uuid.uuid4())
        case "$timestamp":
            return str(int(now.timestamp()))
        case "$isoTimestamp":
            return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "$randomInt":
            return str(random.randint(0, 1000))  # noqa: S311 -- sample data
    raise UnknownVariableError(f"{{{{{expression}}}}} is not defined")
