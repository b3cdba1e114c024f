"""At the level ``app``: all codecs of a Python interpreter: the text that arrives names its own.

And the locale C.UTF-8, which Python takes in place of C, where no variable names another (PEP 538).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.python.modules import get_module_index
from slimtrace.builder.model import Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_ENCODINGS = "/encodings/__init__.py"
_LOCALES = ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8")
"""glibc's name, and that of Debian before 12."""
_OF_WINDOWS = frozenset({"mbcs.py", "oem.py"})


def find_codecs(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules of the package ``encodings``, and the files of the locale C.UTF-8.

    What the modules import is found by the rule for imports.
    """
    if not path.endswith(_ENCODINGS) or not get_module_index(context).is_standard(path):
        return
    folder = path.rpartition("/")[0]
    for name in context.root.listdir(folder):
        if name.endswith(".py") and name not in _OF_WINDOWS:
            yield Need(f"{folder}/{name}", Reason.PYTHON_CODEC)
    for locale in _LOCALES:
        own = context.root.resolve(locale)
        if own.exists:
            yield from (
                Need(file, Reason.PYTHON_CODEC) for file in list_files(context.root, own.path)
            )
