"""Terminal descriptions (terminfo(5)) for programs that draw on a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

_LIBRARY = re.compile(r".*/lib(tinfow?|ncursesw?)\.so\.[0-9.]+$")
_FOLDERS = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo")
_COMMON = ("dumb", "linux", "screen", "screen-256color", "tmux-256color", "vt100", "xterm")
_TERMINALS = (*_COMMON, "xterm-256color")


def find_terminfo(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the descriptions of the terminals that people often use, about 3 kB each.

    The runs' ``TERM`` does not count: the image must not depend on the terminal in which the app
    was traced. A description that the app read is kept as touched.
    """
    if not _LIBRARY.match(path):
        return
    configured = context.environment.env.get("TERMINFO", "")
    for folder in (*([configured] if configured else []), *_FOLDERS):
        for name in _TERMINALS:
            for letter in (name[0], f"{ord(name[0]):02x}"):  # hex on case-insensitive file systems
                yield Need(f"{folder}/{letter}/{name}", Reason.TERMINFO)


RULE = ClosureRule(
    Reason.TERMINFO,
    find_terminfo,
    "common terminals, where a kept program can draw on a terminal",
)
