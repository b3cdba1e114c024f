"""Files that fit a name part by part: for folders in which a search below would find too much."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root


def find_beside(root: Root, folder: str, name: str) -> Iterator[str]:
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
            yield from find_beside(root, path, rest)
        elif not slash and found.exists and not is_folder:
            yield path
