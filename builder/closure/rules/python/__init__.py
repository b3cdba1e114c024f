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
    ClosureRule(
        Reason.PYTHON_TWIN,
        find_twin,
        "the compiled file of a source, and the source of a compiled file",
    ),
    ClosureRule(
        Reason.PYTHON_METADATA,
        find_metadata,
        "the `dist-info` or `egg-info` of a module's distribution",
    ),
    ClosureRule(
        Reason.PYTHON_IMPORT,
        find_imported_modules,
        "what a touched Python module imports in functions and branches, also by "
        "`import_module` of a constant, and what that needs to load, also in functions that it "
        "then calls; extension modules with their libraries. Not: modules for other systems or "
        "Python versions, for developers, for using a library's module as a command, or that "
        "cannot be imported in the full image either",
    ),
    ClosureRule(
        Reason.PYTHON_STRING_IMPORT,
        find_modules_in_strings,
        "modules of touched packages that string constants name: `package.module`, "
        "`package.module:attribute`",
    ),
)
