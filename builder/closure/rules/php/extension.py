"""PHP's settings, and the extensions that they load (php.net: the configuration file)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_file, read_source
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_INI = re.compile(
    r"(?P<folder>/(?:.*/)?(?:conf\.d|php\.d|(?:php|fpm|cli|cgi|apache2)[^/]*))/[^/]+\.ini"
    r"|(?P<top>/etc|/usr/local/etc)/php\.ini"
)
_SCANNED = ("conf.d", "php.d")
_LOADS = re.compile(r"^\s*(?:zend_)?extension\s*=\s*[\"']?([^\"';\s]+)", re.MULTILINE)
_FOLDERS = ("/usr/lib/php", "/usr/lib64/php", "/usr/local/lib/php/extensions")


def find_extensions(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the settings beside a file of PHP's settings, and the extensions that it loads.

    Commands and servers read the same folder, and load what it names when they start.
    """
    if not path.endswith(".ini") or "php" not in path or not (match := _INI.fullmatch(path)):
        return
    folder = match["folder"] or match["top"]
    folders = [folder] if folder.endswith(_SCANNED) else [f"{folder}/{name}" for name in _SCANNED]
    for each in folders:
        for name in context.root.listdir(context.root.resolve(each).path):
            if name.endswith(".ini"):
                yield Need(f"{each}/{name}", Reason.PHP_EXTENSION)
    for name in _LOADS.findall(read_source(context, path)):
        for file in _list_candidates(context, name):
            if is_file(context, file):
                yield Need(file, Reason.PHP_EXTENSION, load=True)


def _list_candidates(context: RuleContext, name: str) -> Iterator[str]:
    if "/" in name:
        yield name
        return
    for folder in _list_extension_folders(context):
        yield f"{folder}/{name.removesuffix('.so')}.so"


@lru_cache(maxsize=4)
def _list_extension_folders(context: RuleContext) -> tuple[str, ...]:
    """The folders with PHP's extensions: those of touched ones, else all of the system."""
    touched = [path.rpartition("/")[0] for path in sorted(context.touched) if _is_extension(path)]
    if touched:
        return (*dict.fromkeys(touched),)
    found = []
    for top in _FOLDERS:
        own = context.root.resolve(top)
        found += [f"{top}/{name}" for name in context.root.listdir(own.path) if own.exists]
        found += [f"{folder}/modules" for folder in (top,)]
    return tuple(
        folder
        for folder in found
        if context.root.kind(context.root.resolve(folder).path) is Kind.DIRECTORY
    )


def _is_extension(path: str) -> bool:
    return path.endswith(".so") and re.search(r"/php\d*/(?:[^/]+/)*[^/]+\.so$", path) is not None


RULE = ClosureRule(
    Reason.PHP_EXTENSION,
    find_extensions,
    "PHP's settings in the folder of a kept one (`conf.d`, `php.d`), and the extensions that they "
    "load",
)
