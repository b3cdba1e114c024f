"""The patterns of ``--include``, ``--exclude`` and ``--allow-secret``.

``*``, ``?`` and ``[…]`` match within one path component, also dot files; ``**`` as a whole
component matches any number of components. A pattern that matches a directory matches all files
below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.builder.edit import remove_paths
from slimtrace.builder.model import BuildPart, Cause, Dropped, Kind, Reason, Seed
from slimtrace.builder.root.excluded_paths import KERNEL, is_kernel_path
from slimtrace.tracer.caution import UnmatchedCaution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern for one root: symlinks in the part before the first wildcard are resolved.

    :ivar text: as written by the user.
    :ivar regex: matches the own paths that the pattern matches.
    """

    text: str
    regex: re.Pattern[str]

    def matches(self, path: str) -> bool:
        """Whether the pattern matches this own path."""
        return self.regex.fullmatch(path) is not None


def compile_glob(root: Root, pattern: str) -> Glob:
    """Compile a pattern for this root. A pattern that is not absolute matches nothing."""
    literal, wild = _split(pattern)
    if not pattern.startswith("/"):
        return Glob(pattern, re.compile(r"(?!)"))
    prefix = root.resolve("/" + "/".join(literal)).path.rstrip("/")
    regex = re.escape(prefix) + "".join(
        "(?:/[^/]+)*" if part == "**" else "/" + _compile_component(part) for part in wild
    )
    return Glob(pattern, re.compile(rf"{regex}(?:/.*)?", re.DOTALL))


def compile_globs(root: Root, patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that checks whether one of the patterns matches an own path."""
    globs = [compile_glob(root, pattern) for pattern in patterns]
    return lambda path: any(glob.matches(path) for glob in globs)


def add_included(selection: Selection, context: Context) -> Selection:
    """Add all paths that match ``--include``; warn of a pattern that matches nothing."""
    root = context.root
    seeds: dict[str, Seed] = {}
    warnings = []
    for pattern in context.options.include:
        paths = list(_walk_pattern(root, pattern)) if pattern.startswith("/") else []
        if not paths:
            why = _explain_no_match(root, pattern)
            fact = f"--include '{pattern}' matches nothing: {why}"
            warnings.append(UnmatchedCaution(fact, "correct the pattern, or leave it out"))
        cause = Cause(Reason.INCLUDED, BuildPart(f"--include '{pattern}'"))
        for path in paths:
            seed = Seed(path, cause, load=True, execute=True, override=True)
            seeds.setdefault(path, seed)
    return replace(
        selection,
        seeds=(*selection.seeds, *seeds.values()),
        warnings=(*selection.warnings, *warnings),
    )


def remove_excluded(selection: Selection, context: Context) -> Selection:
    """Remove all paths that match ``--exclude``; a directory with a kept file stays."""
    why: dict[str, str] = {}
    warnings = []
    for glob in [compile_glob(context.root, pattern) for pattern in context.options.exclude]:
        paths = [path for path in selection.entries if path != "/" and glob.matches(path)]
        why.update((path, f"--exclude '{glob.text}'") for path in paths)
        if not paths:
            cause = "no such path would be in the image"
            if not glob.text.startswith("/"):
                cause = _NOT_ABSOLUTE
            fact = f"--exclude '{glob.text}' matches nothing: {cause}"
            warnings.append(UnmatchedCaution(fact, "correct the pattern, or leave it out"))
    dropped = (Dropped(path, cause) for path, cause in sorted(why.items()))
    return remove_paths(selection, dropped, tuple(warnings))


_NOT_ABSOLUTE = "patterns are absolute paths in the image"


def _split(pattern: str) -> tuple[list[str], list[str]]:
    """Split a pattern into the components before the first wildcard, and the rest."""
    parts = [part for part in pattern.split("/") if part and part != "."]
    for index, part in enumerate(parts):
        if _WILD.search(part):
            return parts[:index], parts[index:]
    return parts, []


def _compile_component(part: str) -> str:
    """Convert a component to a regular expression (glob(7); ``!`` and ``^`` are complements)."""
    regex = ""
    index = 0
    while index < len(part):
        char = part[index]
        index += 1
        close = part.find("]", index + 1 + (part[index : index + 1] in {"!", "^"}))
        if char == "*":
            regex += "[^/]*"
        elif char == "?":
            regex += "[^/]"
        elif char == "[" and close > 0:
            body = part[index:close]
            negated = body[0] in "!^"
            body = re.sub(r"([\\\[\]&~|^])", r"\\\1", body[1:] if negated else body)
            regex += f"(?!/)[{'^' if negated else ''}{body}]"
            index = close + 1
        else:
            regex += re.escape(char)
    return regex


def _walk_pattern(root: Root, pattern: str) -> Iterator[str]:
    literal, wild = _split(pattern)
    for path in _match(root, "/" + "/".join(literal), wild):
        if not is_kernel_path(root.resolve(path).path):
            yield path
            yield from _walk_below(root, path)


def _match(root: Root, path: str, wild: list[str]) -> Iterator[str]:
    """List the paths below ``path`` that match. ``**`` does not follow symlinks."""
    own = root.resolve(path)
    if not wild:
        if own.exists or root.resolve(path, follow=False).exists:
            yield path
        return
    if not own.exists or root.kind(own.path) is not Kind.DIRECTORY or is_kernel_path(own.path):
        return
    first, rest = wild[0], wild[1:]
    if first == "**" and rest:
        yield from _match(root, path, rest)
    names = root.listdir(own.path)
    regex = re.compile(_compile_component(first), re.DOTALL)
    for name in names:
        child = f"{path.rstrip('/')}/{name}"
        if first != "**":
            if regex.fullmatch(name):
                yield from _match(root, child, rest)
        elif not rest:
            yield child
        elif root.kind(f"{own.path.rstrip('/')}/{name}") is Kind.DIRECTORY:
            yield from _match(root, child, wild)


def _walk_below(root: Root, path: str) -> Iterator[str]:
    """List all paths below a directory or a symlink to one; none for another file."""
    folders = [path]
    while folders:
        folder = folders.pop()
        own = root.resolve(folder).path
        if root.kind(own) is not Kind.DIRECTORY or is_kernel_path(own):
            continue
        for name in root.listdir(own):
            child = f"{folder.rstrip('/')}/{name}"
            yield child
            if root.kind(f"{own.rstrip('/')}/{name}") is Kind.DIRECTORY:
                folders.append(child)


def _explain_no_match(root: Root, pattern: str) -> str:
    if not pattern.startswith("/"):
        return _NOT_ABSOLUTE
    literal, wild = _split(pattern)
    prefix = "/" + "/".join(literal)
    if is_kernel_path(prefix):
        return f"what is in {', '.join(KERNEL)} comes from the kernel"
    if not root.resolve(prefix).exists:
        return f"there is no {prefix} in the full image"
    deeper = [each for part in wild for each in (("**", part) if "*" in part else (part,))]
    if "**" not in wild and next(_match(root, prefix, deeper), None) is not None:
        return "'*' does not cross '/', use '**'"
    return f"nothing in {prefix} has such a name"
