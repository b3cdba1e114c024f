"""The tools: what stands before a load's command."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from figures import NATIVE, SLIMTRACE
from rounds import HERE, PEAK, BenchmarkError, call, compile_c

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FLOOR, PINNED, FREE = "floor", "strace-pinned", "strace-free"
PEERS = (FLOOR, PINNED, FREE)
TOOLS = (NATIVE, SLIMTRACE, *PEERS)
ONLY = {"reads": (NATIVE, SLIMTRACE, FLOOR)}
"""Loads that are not for every tool: strace has no part in what a filter lets through."""

_STRACE = ("strace", "-f", "--seccomp-bpf", "-e", "trace=%file", "-o", "/dev/null")
_COMPILE = """
import compileall, slimtrace, slimtrace.tracer
compileall.compile_dir(slimtrace.__path__[0], maxlevels=0, quiet=1)
compileall.compile_dir(slimtrace.tracer.__path__[0], quiet=1)
"""
"""As pip does on installation. An editable install has no .pyc, and would be compiled at every
start where PYTHONDONTWRITEBYTECODE is set."""
_FILTER = """
import platform
from slimtrace.tracer.kernel import bpf
from slimtrace.tracer.syscalls import abi
code = bpf.assemble_filter(abi.group_by_arch(abi.select_calls(platform.machine())))
"""


@dataclass(frozen=True, slots=True)
class Slimtrace:
    """What is measured.

    :ivar program: the console script.
    :ivar python: the Python that it runs in.
    """

    program: str
    python: str

    @classmethod
    def find(cls, name: str) -> Slimtrace:
        """:raises BenchmarkError: there is no such script, or it names no Python."""
        found = shutil.which(name)
        if found is None:
            raise BenchmarkError(f"cannot find {name}: make .venv with `make lint`")
        with open(found, "rb") as file:
            head = file.readline()
        python = os.fsdecode(head.removeprefix(b"#!").strip())
        if not head.startswith(b"#!") or "python" not in os.path.basename(python):
            raise BenchmarkError(f"cannot use {found}: its first line names no Python")
        call([python, "-c", _COMPILE])
        return cls(os.path.abspath(found), python)

    def prefix(self) -> list[str]:
        return [self.program, "-q", "run", "-o", "bench.trace", "--force", "--"]

    def watched(self) -> list[str]:
        """The same in a wrapper that tells the peak of its memory."""
        return [self.python, str(HERE / "peak.py"), PEAK, *self.prefix()]

    def parts_of_the_start(self) -> dict[str, list[str]]:
        """What a start consists of: each command does what the one before did, and more."""
        steps = {
            "Python": ["-I", "-S", "-c", "pass"],
            "its site-packages": ["-I", "-c", "pass"],
            "its environment": ["-c", "pass"],
            "import typer": ["-c", "import typer"],
            "import slimtrace": ["-c", "import slimtrace.main"],
            "import what run needs": ["-c", "import slimtrace.main, slimtrace.tracer.run"],
            "make the filter": ["-c", f"import slimtrace.main, slimtrace.tracer.run\n{_FILTER}"],
        }
        return {name: [self.python, *arguments] for name, arguments in steps.items()}


def default_slimtrace() -> str:
    """The script itself, past any shim, whose own start would be measured with it."""
    for folder in (HERE.parent / ".venv" / "bin", os.path.join(sys.prefix, "bin")):
        if os.path.exists(os.path.join(folder, "slimtrace")):
            return os.path.join(folder, "slimtrace")
    return "slimtrace"


def prefixes(names: Collection[str], slimtrace: Slimtrace, scratch: Path) -> dict[str, list[str]]:
    """Each tool's prefix, with what it needs made.

    :raises BenchmarkError: a tool is missing.
    """
    made = {
        NATIVE: list,
        SLIMTRACE: slimtrace.prefix,
        FLOOR: lambda: _floor(slimtrace, scratch),
        PINNED: _strace_pinned,
        FREE: _strace,
    }
    return {name: make() for name, make in made.items() if name in names}


def _floor(slimtrace: Slimtrace, scratch: Path) -> list[str]:
    """The C loop, with the very filter that slimtrace installs."""
    path = str(scratch / "filter")
    call([slimtrace.python, "-c", f"{_FILTER}\nopen({path!r}, 'wb').write(code)"])
    return [compile_c(HERE / "floor.c"), path]


def _strace() -> list[str]:
    if shutil.which("strace") is None:
        raise BenchmarkError("cannot find strace: install it, or say --tools slimtrace floor")
    return list(_STRACE)


def _strace_pinned() -> list[str]:
    """On one core with its tracee: without a wake-up on another core strace is at its best."""
    core = max(os.sched_getaffinity(0))
    return ["taskset", "-c", str(core), *_strace()]
