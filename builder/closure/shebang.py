"""What a script's first line needs: its interpreter, and through env(1) what the PATH gives.

A chain of scripts (the kernel follows five, execve(2)) unrolls by itself: an interpreter that is
needed is looked at in its turn.
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
_TAKE_A_VALUE = {"-u", "--unset", "-C", "--chdir", "-a", "--argv0"}


def find_interpreters(root: Root, path: str, environment: RunEnvironment) -> tuple[Need, ...]:
    """What the file at a resolved path needs where it is a script; nothing otherwise."""
    line = parse_shebang(root.head(path, BINPRM_BUF_SIZE))
    if line is None:
        return ()
    interpreter, argument = line
    needs = [_interpreter(environment.absolute(interpreter))]
    if os.path.basename(interpreter) == "env" and argument:
        program = _env_program(argument)
        found = None if program is None else _lookup(root, program, environment)
        if found is not None:
            needs.append(_interpreter(found))
    return tuple(needs)


def _interpreter(path: str) -> Need:
    return Need(path, Reason.SCRIPT_INTERPRETER, load=True, execute=True)


def parse_shebang(head: bytes) -> tuple[str, str] | None:
    """Interpreter and its one argument (or ""), as fs/binfmt_script.c reads them."""
    if not head.startswith(b"#!"):
        return None
    line = head[2:BINPRM_BUF_SIZE].split(b"\n", 1)[0].split(b"\0", 1)[0].strip(b" \t")
    words = re.split(rb"[ \t]+", line, maxsplit=1)
    if not words[0]:
        return None
    return os.fsdecode(words[0]), os.fsdecode(words[1]) if len(words) > 1 else ""


def _env_program(argument: str) -> str | None:
    """What env(1) would run: the kernel hands it all after its name as one argument."""
    split = _SPLIT.match(argument)
    if split is None:
        return None if argument.startswith("-") or "=" in argument else argument
    try:
        words = shlex.split(argument[split.end() :])
    except ValueError:
        return None
    while words:
        word = words.pop(0)
        if word in _TAKE_A_VALUE:
            words = words[1:]
        elif not word.startswith("-") and not _ASSIGNMENT.match(word):
            return word
    return None


def _lookup(root: Root, program: str, environment: RunEnvironment) -> str | None:
    """The first executable of that name (exec(3)'s search)."""
    if "/" in program:
        return environment.absolute(program)
    for folder in environment.path:
        candidate = f"{folder.rstrip('/')}/{program}"
        found = root.resolve(candidate)
        fingerprint = root.fingerprint(found.path) if found.exists else None
        if fingerprint is None or root.kind(found.path) is not Kind.FILE:
            continue
        if fingerprint.mode & 0o111:
            return candidate
    return None
