"""The files that an R program's files imply."""

from __future__ import annotations

from slimtrace.builder.closure.rules.r import r_library, r_runtime

RULES = (*r_library.RULES, *r_runtime.RULES)
