"""Whether an image's user can execute a program in it, by the rules of execve(2) and ld.so(8)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.shebang import BINPRM_BUF_SIZE, parse_shebang
from slimtrace.builder.model import Kind
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts

_EXECUTE = 1
_MAX_SCRIPT_DEPTH = 5  # fs/exec.c, exec_binprm: the depth of interpreters that are scripts


def has_permission(facts: ImageFacts, path: str, bit: int) -> bool:
    """Whether the image's user has a permission (4 read, 2 write, 1 execute) at a resolved path.

    It needs search permission for the directories above too (path_resolution(7)). Root has all,
    but to execute a file, at least one execute bit must be set.
    """
    user = facts.user
    if user.uid == 0:
        there = facts.root.fingerprint(path)
        is_file = facts.root.kind(path) is Kind.FILE
        return there is not None and (bit != _EXECUTE or not is_file or bool(there.mode & 0o111))
    needed = [*((above, _EXECUTE) for above in list_parents(path)), (path, bit)]
    return all(_mode_allows(facts, each, its_bit) for each, its_bit in needed)


def _mode_allows(facts: ImageFacts, path: str, bit: int) -> bool:
    there = facts.root.fingerprint(path)
    if there is None:
        return path == "/"  # an image need not have an entry for its root
    shift = 6 if there.uid == facts.user.uid else 3 if there.gid == facts.user.gid else 0
    return bool(there.mode >> shift & bit)


def explain_exec_failure(facts: ImageFacts, program: str) -> str | None:
    """Why a program, looked up by this name, cannot be executed; None if it can."""
    return _explain(facts, program, 0)


def _explain(facts: ImageFacts, program: str, depth: int) -> str | None:
    path = facts.find_program(program)
    if path is None:
        return f"{program} is not in the image"
    own = facts.root.resolve(path).path
    if not has_permission(facts, own, _EXECUTE):
        return f"the user {facts.user.uid}:{facts.user.gid} may not execute {own}"
    line = parse_shebang(facts.root.head(own, BINPRM_BUF_SIZE))
    if line is not None and depth < _MAX_SCRIPT_DEPTH:
        interpreter, argument = line
        why = _explain(facts, interpreter, depth + 1)
        if why is None and os.path.basename(interpreter) == "env" and argument.isidentifier():
            why = _explain(facts, argument, depth + 1)
        return why and f"{why}, which {program} names"
    return _explain_load_failure(facts, path, own)


def _explain_load_failure(facts: ImageFacts, path: str, own: str) -> str | None:
    loader = Loader(facts.root, _make_environment(facts))
    elf = loader.elves.read(own)
    if elf is None:
        return f"{path} is neither an ELF program nor a script that names its interpreter"
    if elf.interpreter is not None and not facts.root.resolve(elf.interpreter).exists:
        return f"its loader {elf.interpreter}, which {path} names, is not in the image"
    dependencies = loader.find_dependencies(path, own)
    if dependencies is not None and dependencies.missing:
        names = ", ".join(missing.name for missing in dependencies.missing[:3])
        return f"{names} is not in the image, which {path} needs"
    return None


def _make_environment(facts: ImageFacts) -> RunEnvironment:
    libraries = facts.env.get("LD_LIBRARY_PATH", "").replace(";", ":")
    return RunEnvironment(
        facts.search_path,
        tuple(facts.make_absolute(folder or ".") for folder in libraries.split(":") if libraries),
        facts.get_string("WorkingDir") or "/",
        facts.env,
    )
