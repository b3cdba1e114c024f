"""The packages that Composer installed for an app: those that its composer.json requires."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_file
from slimtrace.builder.model import Keep, Reason
from slimtrace.builder.packages.languages.composer_packages import ComposerPackages
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_AUTOLOADER = re.compile(r"(?P<vendor>.*)/composer/autoload_(?:real|static)\.php")


def find_composer_packages(context: RuleContext, path: str) -> Iterator[Need]:
    """Find a file of each package in the vendor folder of which a run read the autoloader.

    The rule for language packages adds the rest of them.
    """
    if not path.endswith(".php") or path not in context.read:
        return
    if match := _AUTOLOADER.fullmatch(path):
        for folder in _get_packages(context).list_for_use(match["vendor"]):
            record = f"{folder}/composer.json"
            file = (
                record if is_file(context, record) else next(list_files(context.root, folder), "")
            )
            if file:
                yield Need(file, Reason.PHP_COMPOSER)


@lru_cache(maxsize=1)
def _get_packages(context: RuleContext) -> ComposerPackages:
    return ComposerPackages(context.root)


RULE = ClosureRule(
    Reason.PHP_COMPOSER,
    find_composer_packages,
    "a file of each package that Composer installed for an app, but not of those for developers: "
    "with `language-package`, all of them",
    Keep.APP,
)
