"""Finds the file of a command, as shells and container engines do."""

from __future__ import annotations

import errno
import os
import shutil

from slimtrace.tracer.errors import CannotExecuteError, CommandNotFoundError


def find_program(name: str, path: str | None = None) -> str:
    """The file that the shell would run for ``name`` (execvp(3)).

    :param path: the PATH to search; None for the caller's.
    :raises CommandNotFoundError: there is none.
    :raises CannotExecuteError: it is a directory or may not be executed.
    """
    found = shutil.which(name, path=path)
    if found is not None:
        return found
    folders = os.get_exec_path() if path is None else path.split(os.pathsep)
    candidates = [name] if "/" in name else [os.path.join(f or ".", name) for f in folders]
    existing = next((path for path in candidates if name and os.path.exists(path)), None)
    if existing is None:
        where = "no such file" if "/" in name else "it is not on the PATH"
        raise CommandNotFoundError(f"cannot run {name or repr(name)}: {where}")
    cause = "it is a directory" if os.path.isdir(existing) else "permission denied"
    raise CannotExecuteError(f"cannot run {existing}: {cause}")


def cannot_execute(program: str, number: int) -> CannotExecuteError:
    """Why a program that is there was not executed: ``number`` is execve(2)'s errno."""
    missing = number == errno.ENOENT  # the file is there: its interpreter is not
    cause = "the interpreter that it names is missing" if missing else os.strerror(number)
    return CannotExecuteError(f"cannot run {program}: {cause}")
