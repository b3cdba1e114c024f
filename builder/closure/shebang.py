"""Finds the interpreter of a script: the program in its first line, and the one that env(1) starts.

An interpreter can be a script too (the kernel follows five, execve(2)). It is then handled like any
other script.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from slimtrace.builder.closure.need import RunEnvironment
    from slimtrace.builder.root.root import Root

BINPRM_BUF_SIZE = 256
"""How much of the file the kernel reads for the first line (linux/binfmts.h)."""

_ASSIGNMENT = re.compile(r"[^=/]+=")
_SPLIT = re.compile(r"-[iv0]*S|--split-string[= ]")
_OPTIONS_WITH_VALUE = {"-u", "--unset", "-C", "--chdir", "-a", "--argv0"}


def find_interpreters(root: Root, path: str, environment: RunEnvironment) -> tuple[Need, ...]:
    """Find the interpreters of the file at a resolved path; none if it is no script."""
    line = parse_shebang(root.head(path, BINPRM_BUF_SIZE))
    if line is None:
        return ()
    interpreter, argument = line
    needs = [_make_need(environment.make_absolute(interpreter))]
    if os.path.basename(interpreter) == "env" and argument:
        program = _parse_env_program(argument)
        executable = None if program is None else find_executable(root, program, environment)
        if executable is not None:
            needs.append(_make_need(executable))
    return tuple(needs)


def _make_need(path: str) -> Need:
    return Need(path, Reason.SCRIPT_INTERPRETER, load=True, execute=True)


def parse_shebang(head: bytes) -> tuple[str, str] | None:
    """Read the interpreter and its single argument (or ""), as fs/binfmt_script.c does."""
    if not head.startswith(b"#!"):
        return None
    line = head[2:BINPRM_BUF_SIZE].split(b"\n", 1)[0].split(b"\0", 1)[0].strip(b" \t")
    argv = re.split(rb"[ \t]+", line, maxsplit=1)
    if not argv[0]:
        return None
    return os.fsdecode(argv[0]), os.fsdecode(argv[1]) if len(argv) > 1 else ""


def _parse_env_program(argument: str) -> str | None:
    """Read the program that env(1) would run.

    The kernel passes all that follows ``env`` as one argument.
    """
    split = _SPLIT.match(argument)
    if split is None:
        return None if argument.startswith("-") or "=" in argument else argument
    try:
        argv = shlex.split(argument[split.end() :])
    except ValueError:
        return None
    while argv:
        item = argv.pop(0)
        if item in _OPTIONS_WITH_VALUE:
            argv = argv[1:]
        elif not item.startswith("-") and not _ASSIGNMENT.match(item):
            return item
    return None


def find_executable(root: Root, program: str, environment: RunEnvironment) -> str | None:
    """Find the first executable with this name in PATH, as exec(3) does."""
    if "/" in program:
        return environment.make_absolute(program)
    for folder in environment.path:
        candidate = f"{folder.rstrip('/')}/{program}"
        own = root.resolve(candidate)
        if own.exists and root.kind(own.path) is Kind.FILE and root.is_executable(own.path):
            return candidate
    return None
