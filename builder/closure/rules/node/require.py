"""The modules that a kept module names, also in code that no run executed."""

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

_ADDON_FINDERS = {
    *("bindings", "node-gyp-build", "node-gyp-build-optional-packages", "prebuild-install"),
    *("@mapbox/node-pre-gyp", "node-pre-gyp"),
}
"""Packages that search the native addon of another package, built or downloaded."""

_ADDON_FOLDERS = ("build/Release", "prebuilds", "lib/binding")


def find_requires(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules that a JavaScript file requires or imports by a constant name.

    A file in a Python package that no run read is for browsers.
    """
    if "-packages/" in path and path not in context.touched:
        return
    if not is_source(context, path, (".js", ".cjs", ".mjs"), "node"):
        return
    specifiers = set(find_specifiers(read_source(context, path)))
    for specifier in sorted(specifiers):
        for file in resolve(context, path, specifier):
            yield Need(file, Reason.NODE_REQUIRE, load=file.endswith(".node"))
    if any(specifier.name in _ADDON_FINDERS for specifier in specifiers):
        yield from _find_addons(context, path)


def _find_addons(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the native addons of a package that searches them by a computed name.

    Addons for another system or machine are not added.
    """
    for scope in list_scopes(context, path):
        for folder in _ADDON_FOLDERS:
            for file in list_files(context.root, f"{scope.rpartition('/')[0]}/{folder}"):
                if file.endswith(".node") and _is_for_machine(context, file):
                    yield Need(file, Reason.NODE_REQUIRE, load=True)


def _is_for_machine(context: RuleContext, file: str) -> bool:
    elf = context.loader.elves.read(context.root.resolve(file).path)
    return elf is not None and elf.machine == _find_machine(context)


def _find_machine(context: RuleContext) -> str | None:
    """Find the machine of the first program that was touched."""
    for path in sorted(context.touched):
        elf = context.loader.elves.read(path)
        if elf is not None and elf.interpreter is not None:
            return elf.machine
    return None
