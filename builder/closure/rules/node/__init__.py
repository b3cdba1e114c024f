"""The files that a Node.js app's files imply (nodejs.org/api: modules, esm, packages)."""

from __future__ import annotations

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.node import script_paths
from slimtrace.builder.closure.rules.node.package_json import find_package_json
from slimtrace.builder.closure.rules.node.require import find_requires
from slimtrace.builder.model import Reason

RULES = (
    ClosureRule(
        Reason.NODE_PACKAGE_JSON,
        find_package_json,
        "the package.json of a module's package, and of the directories between",
    ),
    ClosureRule(
        Reason.NODE_REQUIRE,
        find_requires,
        "what a JavaScript file requires or imports by a constant name, resolved as "
        "Node.js does; native addons that `bindings` and similar packages look for",
    ),
    script_paths.RULE,
)
