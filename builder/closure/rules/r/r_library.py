"""Packages that R code loads by a constant name, where R looks for them (R: ``.libPaths``).

The rule ``language-package`` then keeps the whole of them, with the packages that they require.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_file, is_source, read_source
from slimtrace.builder.closure.rules.r.r_source import find_package_names
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.languages.r_packages import (
    LIBRARIES,
    METADATA,
    list_required_names,
    parse_description,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

_SOURCES = (".R", ".r", ".Rmd", ".rmd", ".qmd", ".Rnw", ".Rprofile", "/Rprofile.site")
_DESCRIPTION = "/DESCRIPTION"
_VARIABLES = ("R_LIBS", "R_LIBS_SITE", "R_LIBS_USER")
_RENV = re.compile(r"(?P<project>.*)/renv/activate\.R")


def find_loaded_packages(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the packages that R code loads by a constant name, in any branch.

    An application that is a package itself names them in its DESCRIPTION. The same file of an
    installed package names those that are in another library.
    """
    if path.endswith(_DESCRIPTION):
        names = list_required_names(parse_description(read_source(context, path)))
    elif is_source(context, path, _SOURCES, "Rscript"):
        names = tuple(sorted(find_package_names(read_source(context, path))))
    else:
        return
    for name in names:
        for library in _list_libraries(context):
            if is_file(context, f"{library}/{name}{METADATA}"):
                yield Need(f"{library}/{name}{_DESCRIPTION}", Reason.R_LIBRARY)
                yield Need(f"{library}/{name}{METADATA}", Reason.R_LIBRARY)
                break


@lru_cache(maxsize=4)
def _list_libraries(context: RuleContext) -> tuple[str, ...]:
    """List the libraries in which R looks for packages, in its order as far as it is known.

    They come from the environment, from the packages that the runs used, and from where systems
    have them. A project of renv has a library of its own, with links to packages in a cache.
    """
    found: dict[str, None] = {}
    for variable in _VARIABLES:
        found.update(dict.fromkeys(context.environment.read_search_path(variable)))
    for top in context.environment.read_search_path("RENV_PATHS_LIBRARY"):
        found.update(dict.fromkeys(_list_renv_libraries(context, top)))
    for path in sorted(context.kept):
        if renv := _RENV.fullmatch(path):
            top = f"{renv['project']}/renv/library"
            found.update(dict.fromkeys(_list_renv_libraries(context, top)))
        elif path.endswith(METADATA):
            found[path.removesuffix(METADATA).rpartition("/")[0]] = None
        elif context.root.kind(path) is Kind.SYMLINK and is_file(context, path + METADATA):
            found[path.rpartition("/")[0]] = None
    found.update(dict.fromkeys(LIBRARIES))
    return tuple(found)


def _list_renv_libraries(context: RuleContext, top: str) -> Iterator[str]:
    """List ``renv/library/[PLATFORM/]R-VERSION/MACHINE`` (renv: ``paths``)."""
    pending = [top]
    for _ in range(3):
        pending = [f"{top}/{name}" for top in pending for name in context.root.listdir(top)]
        pending = [path for path in pending if context.root.kind(path) is Kind.DIRECTORY]
        yield from pending


RULES = (
    ClosureRule(
        Reason.R_LIBRARY,
        find_loaded_packages,
        "packages that R code loads by a constant name, and those that a DESCRIPTION requires; in "
        "R's libraries and in renv's",
        Keep.APP,
    ),
)
