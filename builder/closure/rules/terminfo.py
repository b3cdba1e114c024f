"""Terminal descriptions (terminfo(5)) for programs that draw on one."""

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
    """The terminals that an image is likely to be looked at from, some 3 kB each.

    Not that of the runs' ``TERM``: where the app was traced from must not change the image. An
    entry that it read is touched anyhow.
    """
    if not _LIBRARY.match(path):
        return
    named = context.environment.env.get("TERMINFO", "")
    for folder in (*([named] if named else []), *_FOLDERS):
        for name in _TERMINALS:
            for letter in (name[0], f"{ord(name[0]):02x}"):  # by number where case is folded
                yield Need(f"{folder}/{letter}/{name}", Reason.TERMINFO)


RULE = ClosureRule(Reason.TERMINFO, find_terminfo)
