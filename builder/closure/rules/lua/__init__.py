"""The files that a Lua program's files imply."""

from __future__ import annotations

from slimtrace.builder.closure.rules.lua import lua_require, module_names_in_part

RULES = (lua_require.RULE, module_names_in_part.RULE)
