"""The modules that a kept one names, whether or not a run came there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.file_facts import is_source, read_source
from slimtrace.builder.closure.rules.node.package_json import list_scopes
from slimtrace.builder.closure.rules.node.resolve import resolve
from slimtrace.builder.closure.rules.node.specifiers import find_specifiers
from slimtrace.builder.model import Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_FINDERS = {"bindings", "node-gyp-build", "node-gyp-build-optional-packages", "prebuild-install"}
_FINDERS |= {"@mapbox/node-pre-gyp", "node-pre-gyp"}
"""Packages that look for a package's own addon, where it was built or came built."""

_BUILT = ("build/Release", "prebuilds", "lib/binding")


def find_requires(context: RuleContext, path: str) -> Iterator[Need]:
    """The modules that a JavaScript file requires or imports by a constant name."""
    if not is_source(context, path, (".js", ".cjs", ".mjs"), "node"):
        return
    named = set(find_specifiers(read_source(context, path)))
    for wanted in sorted(named):
        for file in resolve(context, path, wanted):
            yield Need(file, Reason.NODE_REQUIRE, load=file.endswith(".node"))
    if any(wanted.name in _FINDERS for wanted in named):
        yield from _addons(context, path)


def _addons(context: RuleContext, path: str) -> Iterator[Need]:
    """The native addons of a package that looks for them by a name it puts together.

    Those for another system or machine stay away.
    """
    for scope in list_scopes(context, path):
        for folder in _BUILT:
            for file in list_files(context.root, f"{scope.rpartition('/')[0]}/{folder}"):
                if file.endswith(".node") and _is_ours(context, file):
                    yield Need(file, Reason.NODE_REQUIRE, load=True)


def _is_ours(context: RuleContext, file: str) -> bool:
    elf = context.loader.elves.read(context.root.resolve(file).path)
    return elf is not None and elf.machine == _machine(context)


def _machine(context: RuleContext) -> str | None:
    """The machine of the first program that was touched."""
    for path in sorted(context.touched):
        elf = context.loader.elves.read(path)
        if elf is not None and elf.interpreter is not None:
            return elf.machine
    return None
