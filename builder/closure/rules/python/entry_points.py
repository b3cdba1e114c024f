"""At the level ``app``: plugins that installed distributions offer to a kept module.

``entry_points.txt`` lists them by group (packaging.python.org, "Entry points specification"). A
module that names a group, and reads entry points, can load each of its members.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.imports import make_need
from slimtrace.builder.closure.rules.python.module_names import Import
from slimtrace.builder.closure.rules.python.modules import get_module_index
from slimtrace.builder.closure.rules.python.source_files import is_loadable, is_source, read_text
from slimtrace.builder.closure.rules.python.tool_modules import skip_tools
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import RuleContext

_READS = ("entry_point", "stevedore", "ExtensionManager")
"""Words in every source that reads entry points."""
_GROUP = re.compile(r"\s*\[([^\]]+)\]")
_MEMBER = re.compile(r"\s*[^#;=\s][^=]*=\s*([\w.]+)")
_SCRIPTS = frozenset({"console_scripts", "gui_scripts"})
_MAX_BYTES = 1 << 20


def find_entry_points(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules of the members of each group that a source names."""
    if not path.endswith(".py") or not is_source(context, path):
        return
    text = read_text(context, path)
    if not any(word in text for word in _READS):
        return
    modules = get_module_index(context)
    found = {
        file
        for group, members in _list_groups(context).items()
        if f'"{group}"' in text or f"'{group}'" in text
        for member in members
        for file in skip_tools(modules, path, modules.find(path, Import(member)))
    }
    for file in sorted(found):
        if is_loadable(context, file):
            yield make_need(file, Reason.PYTHON_ENTRY_POINT)


@lru_cache(maxsize=2)
def _list_groups(context: RuleContext) -> Mapping[str, frozenset[str]]:
    """Map the groups of all distributions in ``sys.path`` to the modules of their members."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for root in get_module_index(context).roots:
        for name in context.root.listdir(root):
            if name.endswith((".dist-info", ".egg-info")):
                text = context.root.text(f"{root}/{name}/entry_points.txt", _MAX_BYTES)
                for group, member in _read_members(text):
                    groups[group].add(member)
    return {group: frozenset(members) for group, members in groups.items()}


def _read_members(text: str) -> Iterator[tuple[str, str]]:
    group = ""
    for line in text.splitlines():
        if match := _GROUP.match(line):
            group = match[1].strip()
        elif group and group not in _SCRIPTS and (match := _MEMBER.match(line)):
            yield group, match[1]
