"""What Python's files imply: one module per rule, over where its modules lie and import."""

from __future__ import annotations

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.python.imports import imported, named
from slimtrace.builder.closure.rules.python.metadata import metadata
from slimtrace.builder.closure.rules.python.pycache import twin
from slimtrace.builder.model import Reason

RULES = (
    ClosureRule(Reason.PYTHON_TWIN, twin),
    ClosureRule(Reason.PYTHON_METADATA, metadata),
    ClosureRule(Reason.PYTHON_IMPORT, imported),
    ClosureRule(Reason.PYTHON_STRING_IMPORT, named),
)
