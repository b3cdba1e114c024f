"""The files that a Tcl program's files imply."""

from __future__ import annotations

from slimtrace.builder.closure.rules.tcl.tcl_package import FOLDER_RULE, PACKAGE_RULE

RULES = (PACKAGE_RULE, FOLDER_RULE)
