"""The files that an Erlang or Elixir program's files imply."""

from __future__ import annotations

from slimtrace.builder.closure.rules.erlang import erlang_runtime

RULES = (erlang_runtime.RULE,)
