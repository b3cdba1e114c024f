"""At the level ``app``: all codecs of a Python interpreter: the text that arrives names its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.python.modules import get_module_index
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_ENCODINGS = "/encodings/__init__.py"
_OF_WINDOWS = frozenset({"mbcs.py", "oem.py"})


def find_codecs(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules of the package ``encodings``. What they import is the rule for imports'."""
    if not path.endswith(_ENCODINGS) or not get_module_index(context).is_standard(path):
        return
    folder = path.rpartition("/")[0]
    for name in context.root.listdir(folder):
        if name.endswith(".py") and name not in _OF_WINDOWS:
            yield Need(f"{folder}/{name}", Reason.PYTHON_CODEC)
