"""Finds clues to files that were neither touched nor implied: one function for each kind of clue.

A clue's path may not exist, or may be kept already; the caller filters those out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rule import RuleContext
from slimtrace.builder.closure.rules.app.own_folder import list_own_folders
from slimtrace.builder.closure.rules.python.imports import find_deferred_imports
from slimtrace.builder.closure.shebang import BINPRM_BUF_SIZE
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.languages.library_folders import is_library
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MAX_FILE_BYTES = 1 << 22
"""Bytes of a file to search for paths."""
_MAX_FILES = 20_000
"""Files of an app's folder to look at."""
_MIN_USED = 2
"""How many files of one kind a run must have read, before those beside them are worth a line."""
_SYSTEM = re.compile(r"^/(?:usr(?!/src/)|etc|lib\w*|var|proc|sys|dev|run)/|/s?bin/$")
_INSTALLED = re.compile(r"/(?:(?:site|dist)-packages|node_modules|__pycache__)(?:/|$)")
_ASIDE = re.compile(r"(?:\.\w.*|__pycache__|node_modules|tests?|docs?|site-packages)")
_ABSOLUTE = re.compile(rb"(?<![\w./:@+-])(?:/[\w.@+-]+){2,}")
_RELATIVE = re.compile(rb"[\"'](\.?/?[\w@+-][\w.@+-]*(?:/[\w.@+-]+)*)[\"']")
_CODE = (
    *(".py", ".pyi", ".pyc", ".pyx", ".pxd", ".so", ".typed", ".c", ".h", ".a", ".pc", ".ini"),
    *(".js", ".cjs", ".mjs", ".ts", ".map", ".md", ".markdown", ".rst", "LICENSE", "package.json"),
)
"""Code, which the closure's rules handle, and files for developers only."""
_SHELL = re.compile(rb"#!\s*\S*/(?:env\s+)?(?:ba|da|a|k|z|mk)?sh\b")
_COMMAND = re.compile(
    rb"(?:^|[;|&(`])\s*(?:(?:then|do|else|exec|if|elif|while|until|!)[ \t]+)*"
    rb"([a-z][\w.+-]*)(?=[\s;|&)]|$)",
    re.MULTILINE,
)
"""A word where a shell expects a command."""
_BUILT_IN = frozenset(
    """
    alias bg break case cd command continue declare do done echo elif else esac eval exec exit
    export false fg fi for function getopts hash if in jobs kill let local printf pwd read readonly
    return select set shift source test then time times trap true type ulimit umask unset until
    wait while
    """.split()  # noqa: SIM905
)
"""Words and commands of the shell itself (dash(1), bash(1))."""
_RULED = frozenset((".py", ".pyc", ".pm", ".pl", ".rb", ".js", ".lua", ".crt", ".pem", ""))
"""Suffixes for which closure rules know what else is needed, or which say nothing."""
_SHARED = re.compile(
    r"/|/(?:usr/(?:local/)?)?(?:s?bin|lib|lib32|lib64|libexec|share|include|games)"
    r"|/(?:usr/)?lib/[^/]+-(?:linux|none)-[^/]+|/(?:etc|var|run|boot|home|root)(?:/.*)?"
    r"|/usr/share/(?:doc|man|info|locale|zoneinfo|licenses|ca-certificates|bash-completion)(?:/.*)?"
    r"|/usr/lib/(?:locale|terminfo|gconv|python3[^/]*|ssl)(?:/.*)?|.*/gconv(?:/.*)?"
)
"""Folders of many packages, and those that rules keep by evidence of their own."""


WEAKEST = 6
"""The last rank."""


class Clue(NamedTuple):
    """A reason to suggest a path.

    :ivar rank: its strength; 0 is the strongest.
    :ivar why: a phrase for people.
    """

    rank: int
    path: str
    why: str


@dataclass(frozen=True)
class ClueContext:
    """The trace and image to search for clues.

    :ivar own: the app's own folders: those that no package owns and from which a run read, its
        working directories, and the folders of its scripts; each ends with a slash.
    :ivar rules: what closure rules can read of them.
    """

    trace: Trace
    root: Root
    selection: Selection
    own: tuple[str, ...]
    rules: RuleContext

    @cached_property
    def touched(self) -> tuple[str, ...]:
        """The own paths of the touched files."""
        entries = self.selection.entries.items()
        return tuple(
            path
            for path, entry in entries
            if entry.kind is Kind.FILE and Reason.TOUCHED in entry.reasons
        )

    def is_own(self, path: str) -> bool:
        """Whether a path is in the app's own folders, and not of an installed package."""
        return path.startswith(self.own) and not _INSTALLED.search(path)

    def is_of_system(self, path: str) -> bool:
        """Whether a package of the system owns a file."""
        return get_package_index(self.root).system_owner(path) is not None


def make_context(trace: Trace, root: Root, selection: Selection) -> ClueContext:
    """Find the app's own folders."""
    rules = _make_rule_context(trace, root, selection)
    folders = {run.cwd for run in trace.runs}
    for process in trace.processes:
        for argument in process.argv[:3]:
            path = root.resolve(os.path.join(trace.runs[process.run].cwd, argument)).path
            if path in selection.entries and root.kind(path) is Kind.FILE:
                folders.add(os.path.dirname(path))
    own = {root.resolve(folder).path.rstrip("/") + "/" for folder in folders}
    fitting = {each for each in own if each != "/" and not _SYSTEM.search(each)}
    fitting |= {f"{folder}/" for folder in list_own_folders(rules)}
    tops = (each for each in fitting if not any(each != o and each.startswith(o) for o in fitting))
    return ClueContext(trace, root, selection, tuple(sorted(tops)) or ("//",), rules)


def _make_rule_context(trace: Trace, root: Root, selection: Selection) -> RuleContext:
    paths = trace.paths.values()
    used = {
        use: {root.resolve(path.path).path for path in paths if use in path.uses}
        for use in (Use.LIST, Use.READ, Use.EXEC)
    }
    around = RunEnvironment.from_runs(trace.runs)
    entries = selection.entries
    touched = frozenset(path for path, entry in entries.items() if Reason.TOUCHED in entry.reasons)
    read = touched & (used[Use.READ] | used[Use.EXEC])
    listed = frozenset(used[Use.LIST])
    return RuleContext(root, around, Loader(root, around), touched, listed, read=read)


def find_constants(context: ClueContext) -> Iterator[Clue]:
    """Paths in the app's own files, in touched settings, and in its programs' strings."""
    for path in context.touched:
        is_own = context.is_own(path)
        if not is_own and not path.startswith("/etc/"):
            continue
        data = context.root.head(path, _MAX_FILE_BYTES)
        is_program = data.startswith(b"\x7fELF")
        if not is_program and b"\0" in data:
            continue  # a binary table, such as ld.so.cache, names everything
        if data.startswith(b"#!"):
            data = data.partition(b"\n")[2]
        is_weak = is_program or not is_own
        rank = 2 if is_weak else 0
        if not is_own and context.is_of_system(path):
            rank = WEAKEST
        yield from _find_names(context, path, data, rank, is_text=is_own and not is_program)


def _find_names(
    context: ClueContext, path: str, data: bytes, rank: int, *, is_text: bool
) -> Iterator[Clue]:
    for match in _ABSOLUTE.finditer(data):
        yield Clue(rank, os.fsdecode(match.group()), f"named in {path}")
    if is_text:
        bases = [os.path.dirname(path), *(run.cwd for run in context.trace.runs)]
        for match in _RELATIVE.finditer(data):
            name = os.fsdecode(match.group(1))
            for base in bases:
                if "." in name or "/" in name:
                    yield Clue(rank, os.path.join(base, name), f"named in {path}")


def find_commands(context: ClueContext) -> Iterator[Clue]:
    """Programs that the app's own shell scripts name as a command."""
    root = context.root
    folders = [root.resolve(folder).path for folder in context.rules.environment.path]
    for path in context.touched:
        if path not in context.rules.read or not _SHELL.match(root.head(path, BINPRM_BUF_SIZE)):
            continue
        if context.is_of_system(path):
            continue
        text = root.head(path, _MAX_FILE_BYTES)
        for name in {os.fsdecode(name) for name in _COMMAND.findall(text)} - _BUILT_IN:
            found = (f"{folder}/{name}" for folder in folders)
            program = next((each for each in found if root.resolve(each).exists), None)
            if program is not None:
                yield Clue(1, program, f"a command in {path}")


def find_siblings(context: ClueContext) -> Iterator[Clue]:
    """Files in the app's own folders with the suffix of a touched file there."""
    like: dict[tuple[str, str], str] = {}
    for path in context.touched:
        folder, _, name = path.rpartition("/")
        if context.is_own(path):
            like.setdefault((folder, os.path.splitext(name)[1]), path)
    for top in context.own:
        for path in _walk(context.root, top.rstrip("/")):
            suffix = os.path.splitext(path)[1]
            above = [each for each in list_parents(path) if f"{each}/".startswith(top)]
            for distance, folder in enumerate(reversed(above)):
                model = like.get((folder, suffix))
                if model is not None:
                    where = "beside" if distance == 0 else "below the folder of"
                    yield Clue(3 + min(distance, 1), path, f"{where} {model}")
                    break


def find_late_imports(context: ClueContext) -> Iterator[Clue]:
    """Modules that implied Python modules import inside functions."""
    for path, entry in context.selection.entries.items():
        is_near = _INSTALLED.search(path) or context.is_own(path)
        # Of a package that is kept whole, most modules are never imported.
        rank = 1 if is_near and Reason.LANGUAGE_PACKAGE not in entry.reasons else 5
        for found in find_deferred_imports(context.rules, path):
            yield Clue(rank, found, f"imported in a function of {path}")


def find_partly_used(context: ClueContext) -> Iterator[Clue]:
    """Files of the system's packages beside at least two of the same kind that a run read."""
    used: dict[tuple[str, str], list[str]] = {}
    for path in context.touched:
        folder, _, name = path.rpartition("/")
        suffix = os.path.splitext(name)[1]
        is_plain = suffix not in _RULED and not suffix[1:].isdigit()
        if is_plain and path in context.rules.read and not _SHARED.fullmatch(folder):
            used.setdefault((folder, suffix), []).append(path)
    for (folder, suffix), members in used.items():
        if len(members) < _MIN_USED or folder.startswith(context.own) or is_library(members[0]):
            continue
        for name in context.root.listdir(folder):
            if os.path.splitext(name)[1] == suffix:
                yield Clue(5, f"{folder}/{name}", f"beside {members[0]} and others that a run read")


def find_rest(context: ClueContext) -> Iterator[Clue]:
    """Data files of touched packages: neither code nor tests."""
    folders = {
        match.group(1)
        for path in context.touched
        if (match := re.match(r"(.*/(?:(?:site|dist)-packages|node_modules)/[^/]+)/", path))
    }
    for folder in sorted(folders):
        for path in _walk(context.root, folder):
            if not path.endswith(_CODE):
                yield Clue(6, path, f"data of {folder.rpartition('/')[2]}, which was used")


QUICK_FINDERS = (find_constants, find_commands, find_siblings, find_partly_used)
"""Those that a build can afford."""
CLUE_FINDERS = (*QUICK_FINDERS, find_late_imports, find_rest)


def _walk(root: Root, top: str) -> Iterator[str]:
    """The files below a directory, without installed packages, hidden and developers' files."""
    pending = [top]
    count = 0
    while pending and count < _MAX_FILES:
        folder = pending.pop()
        names = root.listdir(folder)
        if "pyvenv.cfg" in names:
            continue
        for name in names:
            path = f"{folder}/{name}"
            kind = root.kind(path)
            count += 1
            if kind is Kind.DIRECTORY and not _ASIDE.fullmatch(name):
                pending.append(path)
            elif kind is Kind.FILE and not name.startswith("."):
                yield path
