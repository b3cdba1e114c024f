"""The files that JavaScript names by its own place, where a part of the name may be computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound, take_within
from slimtrace.builder.closure.rules.app.leavings import is_leaving
from slimtrace.builder.closure.rules.file_facts import is_source, read_source
from slimtrace.builder.closure.rules.name_components import find_other_files
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, Pattern
from slimtrace.builder.closure.rules.node.named_paths import find_named_paths
from slimtrace.builder.closure.rules.node.package_json import SUFFIXES
from slimtrace.builder.closure.rules.node.resolve import find_package_record, resolve
from slimtrace.builder.closure.rules.node.specifiers import Specifier
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import LimitMet, RuleContext
    from slimtrace.builder.closure.rules.node.named_paths import NamedPath

BOUND = Bound(files=4000, size=64 << 20)
"""For one folder that a source names."""

_ENDINGS = ("", ".js", ".json", ".node", ".cjs", ".mjs", "/index.js", "/index.json")


def find_named_files(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the files that a JavaScript file names by its own place and constants.

    A folder that is named in full is taken with all that is in it: express.static and view engines
    are given folders.
    """
    if not is_source(context, path, (".js", ".cjs", ".mjs"), "node"):
        return
    source = read_source(context, path)
    for named in sorted(find_named_paths(source, path, context.environment.cwd)):
        if not named.text.startswith("/"):
            for record in find_package_record(context, path, named.text):
                yield Need(record, Reason.NODE_NAMED_FILE)
        elif UNKNOWN in named.text:
            yield from _find_matching(context, path, named)
        else:
            yield from _find_constant(context, path, named)


def _find_constant(context: RuleContext, path: str, named: NamedPath) -> Iterator[Need | LimitMet]:
    own = context.root.resolve(named.text)
    if named.is_module:
        for file in resolve(context, path, Specifier(named.text, is_required=True)):
            yield Need(file, Reason.NODE_NAMED_FILE, load=file.endswith(".node"))
    elif own.exists and context.root.kind(own.path) is Kind.FILE:
        yield Need(named.text, Reason.NODE_NAMED_FILE, load=named.text.endswith(".node"))
    elif own.exists and not path.startswith(f"{own.path}/"):
        folder = named.text.rstrip("/")
        if not folder.endswith("/node_modules"):
            yield from _take(context, folder, list_files(context.root, folder, "node_modules"))


def _find_matching(context: RuleContext, path: str, named: NamedPath) -> Iterator[Need | LimitMet]:
    """Find what fits a name. Where its constant part names no other folder, only modules do."""
    endings = _ENDINGS if named.is_module and not named.text.endswith(UNKNOWN) else ("",)
    for ending in endings:
        pattern = Pattern(named.text + ending)
        files = find_other_files(context.root, pattern, path, SUFFIXES)
        yield from _take(context, pattern.folder, files)


def _take(context: RuleContext, folder: str, files: Iterable[str]) -> Iterator[Need | LimitMet]:
    start = len(folder) + 1
    chosen = (
        file
        for file in files
        if "/node_modules/" not in file[start - 1 :] and not is_leaving(file[start:])
    )
    return take_within(context, Reason.NODE_NAMED_FILE, folder, chosen, BOUND)


RULE = ClosureRule(
    Reason.NODE_NAMED_FILE,
    find_named_files,
    "what a JavaScript file names by its own place (`__dirname`, `import.meta`) and constants, or "
    "loads by a name with a constant part: `path.join(__dirname, 'jobs', name)`, "
    "``import(`./locales/${name}.js`)``, `new URL('./x', import.meta.url)`, `new Worker`, `fork`; "
    "all that fits, and all files of a folder that is named in full. Nothing of a folder of more "
    "than 64 MiB or 4,000 files",
    Keep.APP,
)
