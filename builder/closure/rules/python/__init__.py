"""What Python's files imply: one module per rule, over where its modules lie and import."""

from __future__ import annotations

from builder.closure.rule import Rule
from builder.closure.rules.python.imports import imported, named
from builder.closure.rules.python.metadata import metadata
from builder.closure.rules.python.twins import twin
from builder.model import Reason

RULES = (
    Rule(Reason.PYTHON_TWIN, twin),
    Rule(Reason.PYTHON_METADATA, metadata),
    Rule(Reason.PYTHON_IMPORT, imported),
    Rule(Reason.PYTHON_STRING_IMPORT, named),
)
