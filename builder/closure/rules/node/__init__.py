"""What the files of a Node.js app imply (nodejs.org/api: modules, esm, packages)."""

from __future__ import annotations

from slimtrace.builder.closure.rule import Rule
from slimtrace.builder.closure.rules.node.package_json import package_json
from slimtrace.builder.closure.rules.node.require import require
from slimtrace.builder.model import Reason

RULES = (
    Rule(Reason.NODE_PACKAGE_JSON, package_json),
    Rule(Reason.NODE_REQUIRE, require),
)
