"""Programs that the app's own shell scripts call by a constant name, in any branch.

A run takes one way through an image's entrypoint: TLS is off, the user is not root, the database
exists already. What the script calls on the other ways is named by the app itself, so nothing is
guessed. These limits hold:

- Only scripts that no package of the system owns, and that a run read or executed; and other such
  scripts that these call.
- No shells and no package managers: they make a container more useful to an intruder than to its
  app. What a run used of them is kept for that.
- No programs with setuid or setgid.
- What such a program reads or calls is not known. Its libraries are.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import read_source
from slimtrace.builder.closure.rules.shell.shell_scanner import find_commands
from slimtrace.builder.closure.shebang import (
    BINPRM_BUF_SIZE,
    find_executable,
    find_interpreters,
    parse_shebang,
)
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.builder.closure.rule import RuleContext

_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh"})
_ENDINGS = (".sh", ".bash", ".ash")

_PACKAGE_MANAGER = re.compile(
    r"(?:add-apt-repository|apk|apt|aptitude|bundle|bundler|cargo|composer|conda|cpan|cpanm|dnf|dpkg"
    r"|easy_install|gem|luarocks|mamba|microdnf|npm|npx|pacman|pear|pecl|pip|pipx|pnpm|poetry|rpm"
    r"|snap|tlmgr|uv|yarn|yum|zypper)(?:[-\d.].*)?"
)
"""By name, also with a version and as one of several programs: pip3.11, apt-get, dpkg-query."""

_BUILTINS = frozenset(
    """
    . : [ [[ alias bg break builtin cd continue declare echo eval exec exit export false fc fg
    getopts hash help jobs kill let local printf pwd read readonly return set shift source test
    times trap true type typeset ulimit umask unalias unset wait
    """.split()  # noqa: SIM905
)
"""Commands that shells have themselves, though systems have programs of these names too."""

_WRAPPERS = {
    **dict.fromkeys(("command", "exec", "env", "nohup", "nice", "ionice", "setsid", "stdbuf"), 0),
    **dict.fromkeys(("xargs", "setpriv", "timeout", "tini", "dumb-init", "catatonit"), 0),
    **dict.fromkeys(("gosu", "su-exec", "chroot", "flock"), 1),
}
"""Commands that start another one, and how many arguments come before it: users, folders. Options,
variables and numbers do not count.
"""
_NO_COMMAND = re.compile(r"-.*|\w+=.*|[\d.]+[smhd]?")

_SOURCES = frozenset({".", "source"})
_SOURCED_VARIABLE = re.compile(r"(?:^|[\s;&|({])(?:\.|source)\s+\"?\$\{?(\w+)")
_LOOP = re.compile(r"\bfor\s+(\w+)\s+in\s+([^;\n]*)")
_ALL_FILES = re.compile(r"(?<![\w.$}/])((?:/[\w.@+-]+)+)/\*")
"""A folder, of which a script names all files or those with an ending."""

_CODE = frozenset({"eval", "trap"})
"""Commands whose first argument is code of the shell."""


def find_called_programs(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the programs that an app's own shell script calls by a constant name.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path not in context.read or not is_own_script(context, path):
        return
    scripts, done = [path], {path}
    while scripts:
        source = read_source(context, scripts.pop())
        programs = {file for file in _find_programs(context, source) if file}
        sourced = set(_find_sourced_files(context, source))
        for file in sorted(programs | sourced):
            own = context.root.resolve(file).path
            is_program = file in programs
            yield Need(file, Reason.SCRIPT_COMMAND, load=is_program, execute=is_program)
            if own not in done and (file in sourced or is_own_script(context, own)):
                get_called_scripts(context).add(own)
                scripts.append(own)
            done.add(own)


@lru_cache(maxsize=1)
def get_called_scripts(context: RuleContext) -> set[str]:  # noqa: ARG001 -- the key of the cache
    """The app's own scripts that other scripts of its own call, as far as this closure has come."""
    return set()


def is_own_script(context: RuleContext, path: str) -> bool:
    """Whether it is a shell script that no package of the system owns."""
    if context.root.kind(path) is not Kind.FILE:
        return False
    line = parse_shebang(context.root.head(path, BINPRM_BUF_SIZE))
    is_shell = path.endswith(_ENDINGS) if line is None else _names_shell(*line)
    return is_shell and get_package_index(context.root).system_owner(path) is None


def _names_shell(interpreter: str, argument: str) -> bool:
    names = [os.path.basename(word) for word in (interpreter, *argument.split())]
    return not _SHELLS.isdisjoint(names)


def _find_sourced_files(context: RuleContext, source: str) -> Iterator[str]:
    """Find the app's own files that a script runs in its own shell, by ``.`` or ``source``.

    Where it computes their names, these are the files that a run read in a folder of which the
    script names all files: ``for f in /etc/cont-init.d/*; do . "$f"; done``.
    """
    index = get_package_index(context.root)
    arguments = {words[1] for words in find_commands(source) if words[0] in _SOURCES and words[1:]}
    files = {context.environment.make_absolute(name) for name in arguments if "/" in name}
    sourced = _SOURCED_VARIABLE.findall(source)
    loops = (words for variable, words in _LOOP.findall(source) if variable in sourced)
    for folder in (folder for words in loops for folder in _ALL_FILES.findall(words)):
        own_folder = context.root.resolve(folder).path
        names = context.root.listdir(own_folder)
        files.update({f"{own_folder}/{name}" for name in names} & context.read)
    for path in files:
        own = context.root.resolve(path)
        is_file = own.exists and context.root.kind(own.path) is Kind.FILE
        if is_file and index.system_owner(own.path) is None:
            yield path


def _find_programs(context: RuleContext, source: str) -> Iterator[str | None]:
    for words in find_commands(source):
        yield from _find_command(context, words)


def _find_command(context: RuleContext, words: Sequence[str]) -> Iterator[str | None]:
    """Find the program of a command and, if that starts another command, of this one."""
    name, arguments = os.path.basename(words[0]), words[1:]
    if words[0] and words[0] not in _BUILTINS:
        yield _find_program(context, words[0])
    if words[0] in _CODE and arguments and arguments[0]:
        yield from _find_programs(context, arguments[0])
    elif name in _SHELLS and "-c" in arguments[:-1]:
        yield from _find_programs(context, arguments[arguments.index("-c") + 1])
    elif name in _WRAPPERS:
        others = [word for word in arguments if not _NO_COMMAND.fullmatch(word)]
        rest = others[_WRAPPERS[name] :]
        if rest and rest[0]:
            yield from _find_command(context, rest)


def _find_program(context: RuleContext, name: str) -> str | None:
    """Find a program as a shell does; None if there is none, or this rule does not add such."""
    candidate = find_executable(context.root, name, context.environment)
    if candidate is None:
        return None
    own = context.root.resolve(candidate)
    fingerprint = context.root.fingerprint(own.path) if own.exists else None
    if fingerprint is None or context.root.kind(own.path) is not Kind.FILE:
        return None
    is_program = fingerprint.mode & 0o111 and not fingerprint.mode & 0o6000
    return candidate if is_program and _is_allowed(context, name, own.path) else None


def _is_allowed(context: RuleContext, name: str, path: str) -> bool:
    """Whether it is no shell, no package manager, and no script of a shell that is not kept."""
    for base in (os.path.basename(name), os.path.basename(path)):
        if base in _SHELLS or _PACKAGE_MANAGER.fullmatch(base):
            return False
    line = parse_shebang(context.root.head(path, BINPRM_BUF_SIZE))
    if line is None or not _names_shell(*line):
        return True
    needs = find_interpreters(context.root, path, context.environment)
    return all(context.root.resolve(need.path).path in context.kept for need in needs)


RULE = ClosureRule(
    Reason.SCRIPT_COMMAND,
    find_called_programs,
    "programs that the app's own shell scripts call by a constant name, in any branch; only of "
    "scripts that a run executed or read, which no package of the system owns, and of other such "
    "scripts that they call. No shells, no package managers, nothing with setuid or setgid",
    Keep.APP,
)
