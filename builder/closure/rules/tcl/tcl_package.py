"""The files that Tcl code loads: packages by their index, modules, sourced files.

Tcl has no grammar among the wheels, and its commands are words: regular expressions read them
(tcl.tk: package, pkg_mkIndex, tm, source).
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.leavings import is_leaving
from slimtrace.builder.closure.rules.file_facts import is_source, read_source
from slimtrace.builder.model import Keep, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext

_SUFFIXES = (".tcl", ".tm", ".tk", ".test")
_INTERPRETERS = ("tclsh", "wish", "expect")
_REQUIRED = re.compile(r"\bpackage\s+require\s+(?:-exact\s+)?\{?([\w:.-]+)")
_IF_NEEDED = re.compile(r"\bpackage\s+ifneeded\s+\{?([\w:.-]+)")
_INDEXED = re.compile(r"\bauto_index\(")
_WORD = r"[\w.+-]+"
_IN_FOLDER = re.compile(
    rf"\[\s*file\s+join\s+(?:\$\{{?\w+\}}?|\[\s*file\s+dirname\s+\[\s*info\s+script\s*\]\s*\])"
    rf"((?:\s+\"?{_WORD}\"?)+)\s*\]"
    rf"|\$\{{?\w+\}}?/({_WORD}(?:/{_WORD})*)"
)
"""``[file join $dir a b.tcl]``, ``$dir/a/b.tcl``: $dir is nearly always the source's folder."""

_SOURCED = re.compile(rf"\bsource\s+(?:-encoding\s+\S+\s+)?\"?((?:{_WORD}/)*{_WORD}\.tcl)")
_MODULE = re.compile(r"(?P<root>.*/(?:tcl8/)?8\.\d+|.*)/(?P<name>[^/]+)-[\d.ab]+\.tm")

_INDEX = "pkgIndex.tcl"
_TOPS = ("/usr/share/tcltk", "/usr/lib/tcltk", "/usr/lib", "/usr/local/lib", "/usr/share/tcl8.6")


def find_tcl_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the packages and files that Tcl code loads by constant names, in any branch.

    An index is not code: only what it says of required packages counts.
    """
    if path.endswith("/init.tcl"):
        yield Need(f"{posixpath.dirname(path)}/tclIndex", Reason.TCL_PACKAGE)
    if path.endswith("/tclIndex"):
        yield from _list_in_folder(path, read_source(context, path))
        return
    if path.endswith(f"/{_INDEX}") or not _is_tcl(context, path):
        return
    code = "\n".join(
        line for line in read_source(context, path).splitlines() if line.lstrip()[:1] != "#"
    )
    for name in sorted(set(_REQUIRED.findall(code))):
        for index, files in _index_packages(context).get(name, {}).items():
            yield Need(index, Reason.TCL_PACKAGE)
            for file in files:
                yield Need(file, Reason.TCL_PACKAGE, load=".so" in posixpath.basename(file))
    yield from _list_in_folder(path, code)
    for name in _SOURCED.findall(code):
        for folder in (context.environment.cwd, posixpath.dirname(path)):
            yield Need(posixpath.normpath(f"{folder}/{name}"), Reason.TCL_PACKAGE)


def find_package_folder(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the rest of a package's folder: what it reads beside its code.

    For Tcl's own library these are encodings and texts in other languages; time zones have a rule.
    """
    folder, name = posixpath.split(path)
    is_package = name == _INDEX and _is_used(context, folder)
    if not is_package and not (name == "init.tcl" and "/tcl" in folder):
        return
    for file in list_files(context.root, folder, "tzdata"):
        below = file[len(folder) + 1 :]
        is_deeper = f"{posixpath.dirname(file)}/{_INDEX}" in _list_indexes(context)
        if not is_leaving(below) and (not is_deeper or posixpath.dirname(file) == folder):
            load = ".so" in posixpath.basename(file)
            yield Need(file, Reason.TCL_PACKAGE_FOLDER, load=load)


def _is_tcl(context: RuleContext, path: str) -> bool:
    return any(is_source(context, path, _SUFFIXES, each) for each in _INTERPRETERS)


def _is_used(context: RuleContext, folder: str) -> bool:
    """Whether a file of the package was kept before any rule: its index alone is read for all."""
    return any(
        f"{folder}/{name}" in context.read and name != _INDEX
        for name in context.root.listdir(folder)
    )


def _list_in_folder(path: str, code: str) -> Iterator[Need]:
    """Find the files that code names in the folder of its source."""
    for words, below in _IN_FOLDER.findall(code):
        name = below or "/".join(words.replace('"', "").split())
        file = posixpath.normpath(f"{posixpath.dirname(path)}/{name}")
        yield Need(file, Reason.TCL_PACKAGE, load=".so" in posixpath.basename(file))


@lru_cache(maxsize=4)
def _index_packages(context: RuleContext) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Package → index file or module → the files that it loads."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for index in _list_indexes(context):
        text = read_source(context, index)
        starts = [*_IF_NEEDED.finditer(text)]
        for at, match in enumerate(starts):
            end = starts[at + 1].start() if at + 1 < len(starts) else len(text)
            files = [need.path for need in _list_in_folder(index, text[match.start() : end])]
            known = found.setdefault(match[1], {})
            known[index] = (*known.get(index, ()), *files)
    for module in _list_modules(context):
        if own := _MODULE.fullmatch(module):
            below = module[len(own["root"]) + 1 :].rpartition("-")[0]
            found.setdefault(below.replace("/", "::"), {})[module] = ()
    return found


@lru_cache(maxsize=4)
def _list_indexes(context: RuleContext) -> frozenset[str]:
    """The indexes of the search path: those that the runs read, and those of Tcl's folders."""
    indexes = {path for path in context.touched if path.endswith(f"/{_INDEX}")}
    for folder in _list_tops(context):
        for name in ("", *context.root.listdir(folder)):
            file = posixpath.normpath(f"{folder}/{name}/{_INDEX}")
            if context.root.fingerprint(context.root.resolve(file).path) is not None:
                indexes.add(file)
    return frozenset(indexes)


def _list_tops(context: RuleContext) -> list[str]:
    machines = [name for name in context.root.listdir("/usr/lib") if "-linux-" in name]
    value = context.environment.env.get("TCLLIBPATH", "")
    tops = [*value.split(), *_TOPS, *(f"/usr/lib/{name}/tcltk" for name in machines)]
    own = {posixpath.dirname(posixpath.dirname(path)) for path in context.read if "/tcl" in path}
    tops += sorted(folder for folder in own if folder.endswith("tcltk"))
    resolved = (context.root.resolve(top) for top in dict.fromkeys(tops))
    return [top.path for top in resolved if top.exists and top.path != "/"]


@lru_cache(maxsize=4)
def _list_modules(context: RuleContext) -> tuple[str, ...]:
    """The Tcl modules beside the script library, and beside those that the runs read."""
    tops = {f"{top}/tcl8" for top in _list_tops(context)}
    tops |= {posixpath.dirname(path) for path in context.read if path.endswith(".tm")}
    found = {file for top in sorted(tops) for file in list_files(context.root, top)}
    return tuple(sorted(file for file in found if file.endswith(".tm")))


PACKAGE_RULE = ClosureRule(
    Reason.TCL_PACKAGE,
    find_tcl_files,
    "the packages that Tcl code requires, by `pkgIndex.tcl` and modules (`.tm`), and what it "
    "sources by a constant name or from its own folder; what `tclIndex` loads at a first call",
)
FOLDER_RULE = ClosureRule(
    Reason.TCL_PACKAGE_FOLDER,
    find_package_folder,
    "the rest of the folder of a Tcl package of which a file was read; encodings and texts of "
    "Tcl's own library",
    Keep.APP,
)
