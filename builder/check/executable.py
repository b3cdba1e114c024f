"""Whether an image's user can execute a program in it, as execve(2) and ld.so(8) would find."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.shebang import BINPRM_BUF_SIZE, parse_shebang
from slimtrace.builder.model import Kind
from slimtrace.builder.root.root import parents

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts

_EXECUTE = 1
_MAX_SCRIPT_DEPTH = 5  # fs/exec.c, exec_binprm: the depth of interpreters that are scripts


def has_permission(facts: ImageFacts, path: str, bit: int) -> bool:
    """Whether the image's user has a permission (4, 2, 1) of what lies at a resolved path.

    The folders above must let it pass too (path_resolution(7)). Root may all, but for execution,
    for which it takes one bit of somebody's.
    """
    user = facts.user
    if user.uid == 0:
        there = facts.root.fingerprint(path)
        is_file = facts.root.kind(path) is Kind.FILE
        return there is not None and (bit != _EXECUTE or not is_file or bool(there.mode & 0o111))
    wanted = [*((above, _EXECUTE) for above in parents(path)), (path, bit)]
    return all(_mode_allows(facts, where, needed) for where, needed in wanted)


def _mode_allows(facts: ImageFacts, path: str, bit: int) -> bool:
    there = facts.root.fingerprint(path)
    if there is None:
        return path == "/"  # an image need not say anything of its root
    shift = 6 if there.uid == facts.user.uid else 3 if there.gid == facts.user.gid else 0
    return bool(there.mode >> shift & bit)


def explain_exec_failure(facts: ImageFacts, program: str) -> str | None:
    """Why a program, as it is looked up, does not run; None where it does."""
    return _explain(facts, program, 0)


def _explain(facts: ImageFacts, program: str, depth: int) -> str | None:
    path = facts.find(program)
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
    loads = loader.loads(path, own)
    if loads is not None and loads.missing:
        names = ", ".join(missing.name for missing in loads.missing[:3])
        return f"{names} is not in the image, which {path} needs"
    return None


def _make_environment(facts: ImageFacts) -> RunEnvironment:
    libraries = facts.env.get("LD_LIBRARY_PATH", "").replace(";", ":")
    return RunEnvironment(
        facts.search_path,
        tuple(facts.absolute(folder or ".") for folder in libraries.split(":") if libraries),
        facts.text("WorkingDir") or "/",
        facts.env,
    )
