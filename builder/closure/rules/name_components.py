"""Files that fit a name part by part: for folders in which a search below would find too much."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, find_matches
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rules.name_pattern import Pattern
    from slimtrace.builder.root.root import Root


def _find_beside(root: Root, folder: str, name: str) -> Iterator[str]:
    """Find the files that fit a relative name with computed parts, each within one component.

    A source that loads ``'./' + name`` loads what is beside it, not what is anywhere below it.
    """
    first, slash, rest = name.partition("/")
    fits = re.compile(".+".join(re.escape(part) for part in re.split(f"{UNKNOWN}+", first)))
    own = root.resolve(folder)
    for each in root.listdir(own.path) if own.exists and UNKNOWN in first else [first]:
        if not fits.fullmatch(each) or each == "node_modules":
            continue
        path = f"{folder}/{each}"
        found = root.resolve(path)
        is_folder = found.exists and root.kind(found.path) is Kind.DIRECTORY
        if slash and is_folder:
            yield from _find_beside(root, path, rest)
        elif not slash and found.exists and not is_folder:
            yield path


def find_other_files(
    root: Root, pattern: Pattern, source: str, suffixes: tuple[str, ...]
) -> list[str]:
    """Find what fits a pattern that a source names.

    Where the constant part names no folder but one that the source is in, only code counts.

    :param suffixes: those of code.
    """
    if not source.startswith(f"{pattern.folder}/"):
        return [*find_matches(root, pattern)]
    beside = _find_beside(root, pattern.folder, pattern.text[len(pattern.folder) + 1 :])
    return [file for file in beside if file.endswith(suffixes)]
