"""Rules for native code that a program loads by a name that it puts together: plugins."""

from __future__ import annotations

from slimtrace.builder.closure.rules.natives import (
    plugin_data,
    plugin_folder,
    plugin_registry,
    plugin_sibling,
)

RULES = (
    plugin_sibling.RULE,
    plugin_folder.RULE,
    plugin_registry.RULE,
    plugin_data.RULE,
)
