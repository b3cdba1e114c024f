"""Finds the program of a command, as shells and container engines do."""

from __future__ import annotations

import errno
import os
import shutil

from slimtrace.tracer.errors import CannotExecuteError, CommandNotFoundError


def find_program(name: str, path: str | None = None) -> str:
    """Find the file that the shell would run for ``name`` (execvp(3)).

    :param path: the PATH to search; None for the caller's PATH.
    :raises CommandNotFoundError: there is no such file.
    :raises CannotExecuteError: it is a directory or is not executable.
    """
    program = shutil.which(name, path=path)
    if program is not None:
        return program
    folders = os.get_exec_path() if path is None else path.split(os.pathsep)
    candidates = [name] if "/" in name else [os.path.join(f or ".", name) for f in folders]
    existing = next((path for path in candidates if name and os.path.exists(path)), None)
    if existing is None:
        where = "no such file" if "/" in name else "it is not on the PATH"
        raise CommandNotFoundError(
            f"cannot run {name or repr(name)}: {where}", "install it, or give its path"
        )
    cause = "it is a directory" if os.path.isdir(existing) else "permission denied"
    step = "name a program in it" if os.path.isdir(existing) else f"chmod +x {existing}"
    raise CannotExecuteError(f"cannot run {existing}: {cause}", step)


def cannot_execute(program: str, number: int) -> CannotExecuteError:
    """Return the error for an existing program that execve(2) refused with errno ``number``."""
    missing = number == errno.ENOENT  # the program exists, so its interpreter does not
    cause = "its interpreter is missing" if missing else os.strerror(number)
    return CannotExecuteError(f"cannot run {program}: {cause}")
