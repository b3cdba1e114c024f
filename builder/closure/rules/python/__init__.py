"""The files that Python files imply: one module for each rule, over an index of the modules."""

from __future__ import annotations

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.python.imports import (
    find_imported_modules,
    find_modules_in_strings,
)
from slimtrace.builder.closure.rules.python.metadata import find_metadata
from slimtrace.builder.closure.rules.python.pycache import find_twin
from slimtrace.builder.model import Reason

RULES = (
    ClosureRule(Reason.PYTHON_TWIN, find_twin),
    ClosureRule(Reason.PYTHON_METADATA, find_metadata),
    ClosureRule(Reason.PYTHON_IMPORT, find_imported_modules),
    ClosureRule(Reason.PYTHON_STRING_IMPORT, find_modules_in_strings),
)
