"""Parts of Erlang's runtime system that it uses late."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Keep, Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

_EMULATOR = re.compile(r"(?P<home>.*)/(?P<erts>erts-[^/]+)/bin/beam(?:\.smp)?")

_HELPERS = ("erl_child_setup", "inet_gethost")
"""The emulator starts ports, and resolves names, through these programs (erl_child_setup in the
ERTS sources; inet_gethost in kernel's module inet_gethost_native).
"""


def find_runtime_files(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the emulator's helpers and the boot files of its installation or release."""
    emulator = _EMULATOR.fullmatch(path)
    if emulator is None:
        return
    home = emulator["home"]
    for name in _HELPERS:
        yield Need(
            f"{home}/{emulator['erts']}/bin/{name}", Reason.ERLANG_RUNTIME, load=True, execute=True
        )
    for folder in (f"{home}/bin", *_list_releases(context, home)):
        for name in context.root.listdir(folder):
            is_read = name.endswith(".boot") if folder.endswith("/bin") else ".tar" not in name
            if is_read and context.root.kind(f"{folder}/{name}") is not Kind.DIRECTORY:
                yield Need(f"{folder}/{name}", Reason.ERLANG_RUNTIME)


def _list_releases(context: RuleContext, home: str) -> list[str]:
    """List the folder of releases and that of each: what starts it, and its configuration."""
    top = f"{home}/releases"
    below = [f"{top}/{name}" for name in context.root.listdir(top)]
    return [top, *(path for path in below if context.root.kind(path) is Kind.DIRECTORY)]


RULE = ClosureRule(
    Reason.ERLANG_RUNTIME,
    find_runtime_files,
    "the boot files and releases of Erlang's runtime system, and the programs by which it starts "
    "ports and resolves names",
    Keep.APP,
)
