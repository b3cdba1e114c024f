"""The files that the app's own shell scripts imply."""

from __future__ import annotations

from slimtrace.builder.closure.rules.shell import script_command

RULES = (script_command.RULE,)
