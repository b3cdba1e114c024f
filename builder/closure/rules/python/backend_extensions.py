"""At the level ``app``: extension modules that other extensions import by a constant name.

As ``_cffi_backend``, which cffi's extensions need: no source names it. Of an extension's constants
only names of extensions directly in ``sys.path`` count, which begin with an underscore.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.imports import make_need
from slimtrace.builder.closure.rules.python.module_names import Import
from slimtrace.builder.closure.rules.python.modules import get_module_index, is_installed
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import RuleContext

_MAX_EXTENSION_BYTES = 1 << 26


def find_native_halves(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the extension modules that the extension at an own path names."""
    if not path.endswith(".so") or not is_installed(path):
        return
    halves = _list_halves(context)
    if not halves or context.root.kind(path) is not Kind.FILE:
        return
    data = context.root.head(path, _MAX_EXTENSION_BYTES)
    modules = get_module_index(context)
    for name in halves.keys() - {path.rpartition("/")[2].partition(".")[0]}:
        if name.encode() in data:
            for file in modules.find(path, Import(name)):
                yield make_need(file, Reason.PYTHON_NATIVE_HALF)


@lru_cache(maxsize=2)
def _list_halves(context: RuleContext) -> Mapping[str, str]:
    """Map the names of extensions directly in directories of installed modules to their folder."""
    roots = [root for root in get_module_index(context).roots if is_installed(root)]
    return {
        name.partition(".")[0]: root
        for root in roots
        for name in context.root.listdir(root)
        if name.startswith("_") and name.endswith(".so") and "__" not in name
    }
