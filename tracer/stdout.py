"""Text for stdout, laid out by rich: for the terminal's width and colours, plain elsewhere.

Only this module and the callers that need it import rich: it takes about 50 ms.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

PLAIN_WIDTH = 100
"""Columns where stdout is no terminal."""
_UNLIMITED = 1 << 16


def make_table(
    rows: Iterable[Sequence[RenderableType]], *, right: Sequence[int] = (), gap: int = 2
) -> Table:
    """A table without borders, which can be copied from a terminal.

    :param right: indexes of the columns that are aligned to the right.
    :param gap: spaces between two columns.
    """
    lines = [*rows]
    table = Table.grid(padding=(0, gap, 0, 0))
    for index in range(max(map(len, lines), default=0)):
        table.add_column(justify="right" if index in right else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def render(*renderables: RenderableType) -> list[str]:
    """The lines to print, without spaces at their ends. No line is cut: a terminal wraps it."""
    terminal = _is_terminal()
    console = Console(
        file=io.StringIO(),
        width=_UNLIMITED,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        markup=False,
        emoji=False,
        highlight=False,
    )
    with console.capture() as capture:
        for renderable in renderables:
            console.print(renderable)
    return [line.rstrip() for line in capture.get().removesuffix("\n").split("\n")]


def stdout_width() -> int:
    """Columns of the terminal that stdout is; :data:`PLAIN_WIDTH` where it is none."""
    return Console().width if _is_terminal() else PLAIN_WIDTH


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()
