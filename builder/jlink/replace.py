"""Puts a linked Java runtime in the place of the full image's whole one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.closure import add_closure
from slimtrace.builder.closure.rule import LimitMet
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.edit import remove_paths
from slimtrace.builder.jlink.java_home import check_homes, parse_home
from slimtrace.builder.jlink.jimage import read_jimage
from slimtrace.builder.jlink.jlink import link_runtime
from slimtrace.builder.jlink.required_modules import find_named_modules, find_required_modules
from slimtrace.builder.model import BuildPart, Cause, Dropped, Keep, Kind, Reason
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import ClosureRule, RuleContext
    from slimtrace.builder.context import Context
    from slimtrace.builder.jlink.jimage import Jimage
    from slimtrace.builder.jlink.jlink import JavaRuntime
    from slimtrace.builder.model import Entry, Selection
    from slimtrace.tracer.trace.trace import Trace

_LATE_MODULE = "jdk.crypto.ec"
"""Most TLS connections need it. It is loaded by a name in java.security, so no class names it."""


def add_closure_with_java(selection: Selection, context: Context) -> Selection:
    """Add the closure; then link each JVM with the modules in use, and close once more.

    The rules of the second closure imply no file of other modules. All other files of a JVM stay
    the full image's: the linked runtime is of the same build.

    :raises SlimtraceError: no JVM is in the selection, its modules were not observed, or the full
        image cannot link a runtime.
    :raises UsageError: the user names a module that does not exist.
    """
    if context.rerun is None:
        raise ValueError("options.jlink needs rerun")
    root, options = context.root, context.options
    whole = add_closure(selection, context)
    homes = {home for path in whole.entries if (home := parse_home(path))}
    homes = {home for home in homes if _has_jvm(whole, home)}
    runtimes = {}
    for home in check_homes(homes, root):
        jimage = read_jimage(root, f"{home}/lib/modules")
        modules = _choose_modules(home, jimage, whole, context)
        runtimes[home] = link_runtime(root.root, home, modules, context.rerun)
    rules = choose_rules(options.keep, options.without_rules)
    linked = add_closure(selection, context, restrict_rules(rules, runtimes))
    gone = [
        Dropped(path, "its Java module is not linked (--jlink)", whole.entries[path].causes)
        for path in sorted(whole.entries.keys() - linked.entries.keys())
        if any(path.startswith(f"{home}/lib/") for home in runtimes)
    ]
    for home, runtime in runtimes.items():
        linked = _replace_runtime(linked, home, runtime)
    return replace(linked, dropped=(*linked.dropped, *gone))


def restrict_rules(
    rules: Iterable[ClosureRule], runtimes: Mapping[str, JavaRuntime]
) -> tuple[ClosureRule, ...]:
    """The rules, without needs for files of a JVM that its linked runtime does not have."""

    def restrict(rule: ClosureRule) -> ClosureRule:
        def find_needs(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
            return (
                need
                for need in rule.find_needs(context, path)
                if isinstance(need, LimitMet) or _is_linked(context, need, runtimes)
            )

        return replace(rule, find_needs=find_needs)

    return tuple(map(restrict, rules))


def _is_linked(context: RuleContext, need: Need, runtimes: Mapping[str, JavaRuntime]) -> bool:
    path = context.root.resolve(need.path).path
    return not any(
        path.startswith(f"{home}/lib/") and path.removeprefix(f"{home}/") not in runtime.files
        for home, runtime in runtimes.items()
    )


def _has_jvm(selection: Selection, home: str) -> bool:
    return any(path.startswith(f"{home}/lib/") for path in selection.entries if "libjvm" in path)


def _choose_modules(
    home: str, jimage: Jimage, selection: Selection, context: Context
) -> tuple[str, ...]:
    """The names of the modules to link, sorted."""
    trace, root, options = context.trace, context.root, context.options
    observed = {name for run in trace.runs for name in run.modules.get(home, ())}
    requested = set(options.jlink_modules)
    for name in sorted(requested - jimage.modules):
        raise UsageError(
            f"cannot use --jlink-modules {name}: {home} has no such module",
            f"{home}/bin/java --list-modules lists them",
        )
    if not (observed or requested):
        raise SlimtraceError(
            f"cannot link a Java runtime: no run recorded which modules of {home} it uses",
            "name them with --jlink-modules",
        )
    own = [entry for path, entry in selection.entries.items() if not path.startswith(f"{home}/")]
    found = {
        "java.base",
        *observed,
        *requested,
        *find_required_modules(root, own),
        *_find_added_modules(trace),
    }
    if options.keep is not Keep.TOUCHED:
        found |= {_LATE_MODULE, *find_named_modules(root, own, jimage.packages)}
    return tuple(sorted(found & jimage.modules))


def _find_added_modules(trace: Trace) -> Iterator[str]:
    """The modules in ``--add-modules`` of command lines (java(1)). A JVM needs them to start."""
    for image in trace.processes:
        for argument, following in zip(image.argv, (*image.argv[1:], ""), strict=True):
            option, equals, value = argument.partition("=")
            if option == "--add-modules":
                yield from (value if equals else following).split(",")


def _replace_runtime(selection: Selection, home: str, runtime: JavaRuntime) -> Selection:
    entries = dict(selection.entries)
    path = f"{home}/lib/modules"
    entries[path] = _replace_content(entries[path], runtime.modules)
    if (release := entries.get(f"{home}/release")) and release.kind is Kind.FILE:
        entries[release.path] = _replace_content(release, _edit_release(release, runtime))
    archives = [
        Dropped(path, "it is an archive of the full modules file (--jlink)")
        for path in entries
        if path.startswith(f"{home}/lib/") and path.endswith(".jsa")
    ]
    return remove_paths(replace(selection, entries=entries), archives)


def _replace_content(entry: Entry, content: bytes) -> Entry:
    causes = (Cause(Reason.JLINK, BuildPart("--jlink")), *entry.causes)
    size = len(content)
    return replace(entry, source=None, hardlink=None, content=content, size=size, causes=causes)


def _edit_release(entry: Entry, runtime: JavaRuntime) -> bytes:
    """The full image's file, which says more than jlink's, with the linked runtime's MODULES."""
    content = entry.content
    if content is None and entry.source is not None:
        with open(entry.source, "rb") as file:
            content = file.read()
    line = re.search(rb"^MODULES=.*$", runtime.release, re.MULTILINE)
    if not line:
        return content or b""
    return re.sub(rb"^MODULES=.*$", lambda _: line[0], content or b"", flags=re.MULTILINE)
