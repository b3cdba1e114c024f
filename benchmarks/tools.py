"""The tools that are compared: the prefix of each for a load's command."""

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
ONLY_TOOLS = {"reads": (NATIVE, SLIMTRACE, FLOOR)}
"""Loads for some tools only: strace does nothing in calls that its filter lets through."""

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
    """The installed slimtrace that is measured.

    :ivar program: the console script.
    :ivar python: the Python that it runs in.
    """

    program: str
    python: str

    @classmethod
    def find(cls, name: str) -> Slimtrace:
        """Find a console script.

        :raises BenchmarkError: there is no such script, or its first line names no Python.
        """
        path = shutil.which(name)
        if path is None:
            raise BenchmarkError(f"cannot find {name}: make .venv with `make lint`")
        with open(path, "rb") as file:
            head = file.readline()
        python = os.fsdecode(head.removeprefix(b"#!").strip())
        if not head.startswith(b"#!") or "python" not in os.path.basename(python):
            raise BenchmarkError(f"cannot use {path}: its first line names no Python")
        call([python, "-c", _COMPILE])
        return cls(os.path.abspath(path), python)

    def prefix(self) -> list[str]:
        return [self.program, "-q", "run", "-o", "bench.trace", "--force", "--"]

    def measure_peak_prefix(self) -> list[str]:
        """The same prefix with peak_memory.py, which writes the peak of its memory."""
        return [self.python, str(HERE / "peak_memory.py"), PEAK, *self.prefix()]

    def make_start_commands(self) -> dict[str, list[str]]:
        """Commands for the parts of the start; each does one thing more than the one before."""
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


def find_default_slimtrace() -> str:
    """Find the script itself; the start of a shim would be measured with it."""
    for folder in (HERE.parent / ".venv" / "bin", os.path.join(sys.prefix, "bin")):
        if os.path.exists(os.path.join(folder, "slimtrace")):
            return os.path.join(folder, "slimtrace")
    return "slimtrace"


def make_prefixes(
    names: Collection[str], slimtrace: Slimtrace, scratch: Path
) -> dict[str, list[str]]:
    """Make each tool's prefix, and what it needs.

    :raises BenchmarkError: a tool is missing.
    """
    makers = {
        NATIVE: list,
        SLIMTRACE: slimtrace.prefix,
        FLOOR: lambda: _make_floor_prefix(slimtrace, scratch),
        PINNED: _make_pinned_prefix,
        FREE: _make_strace_prefix,
    }
    return {name: make() for name, make in makers.items() if name in names}


def _make_floor_prefix(slimtrace: Slimtrace, scratch: Path) -> list[str]:
    """The C loop, with the filter that slimtrace installs."""
    path = str(scratch / "filter")
    call([slimtrace.python, "-c", f"{_FILTER}\nopen({path!r}, 'wb').write(code)"])
    return [compile_c(HERE / "floor.c"), path]


def _make_strace_prefix() -> list[str]:
    if shutil.which("strace") is None:
        raise BenchmarkError("cannot find strace: install it, or use --tools slimtrace floor")
    return list(_STRACE)


def _make_pinned_prefix() -> list[str]:
    """On one core with its tracee: strace is fastest without wake-ups on another core."""
    core = max(os.sched_getaffinity(0))
    return ["taskset", "-c", str(core), *_make_strace_prefix()]
