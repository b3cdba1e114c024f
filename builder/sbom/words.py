"""``--sbom FORMAT FILE``: two words, and again: what typer cannot declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from slimtrace.builder.sbom.format import Format
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class WithSbom(TyperCommand):
    """A command whose option ``--sbom``, declared as a list, takes two words at a time."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        for parameter in self.params:
            if parameter.name == "sbom":
                parameter.nargs = 2


def sbom_words(given: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    """The formats and files of ``--sbom``.

    :raises UsageError: a format is none.
    """
    found = []
    for name, path in given:
        if name not in {*Format}:
            raise UsageError(
                f"cannot write an SBOM as {name}: there are {' and '.join(Format)}",
                f"as in --sbom {Format.SPDX} app{Format.SPDX.ending}",
            )
        found.append((name, path))
    return tuple(found)
