"""What Python's files imply: one module per rule, over where its modules lie and import."""

from __future__ import annotations

from slimtrace.builder.closure.rule import Rule
from slimtrace.builder.closure.rules.python.imports import imported, named
from slimtrace.builder.closure.rules.python.metadata import metadata
from slimtrace.builder.closure.rules.python.pycache import twin
from slimtrace.builder.model import Reason

RULES = (
    Rule(Reason.PYTHON_TWIN, twin),
    Rule(Reason.PYTHON_METADATA, metadata),
    Rule(Reason.PYTHON_IMPORT, imported),
    Rule(Reason.PYTHON_STRING_IMPORT, named),
)
