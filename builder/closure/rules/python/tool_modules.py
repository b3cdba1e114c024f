"""Modules for developers, and for use at a terminal, which services do not load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rules.python.modules import ModuleIndex

_TESTS = re.compile(r"(?:^|/)(?:tests?|testing)/|(?:^|/)(?:conftest|testing)\.py$")
_TOOLS = re.compile(
    r"(?:doctest|pdb|pydoc|turtle)\.py$|(?:.*/)?distutils/"
    r"|(?:unittest|setuptools|pip|ensurepip|venv|idlelib|tkinter|turtledemo|lib2to3|pydoc_data)/"
)
_CONSOLE = re.compile(r"(?:(?:code|codeop|rlcompleter)\.py|lib-dynload/readline\.[^/]+)$|_pyrepl/")
"""Modules of the standard library for a prompt."""


_BUILDERS = re.compile(r"(?:setuptools|pkg_resources|pip|wheel|pytest|_pytest)/")
"""Other distributions that build and test Python's packages."""


def skip_builders(modules: ModuleIndex, files: Iterable[str]) -> Iterator[str]:
    """Skip files of distributions that build and test Python's packages.

    A package that is kept whole has modules for them, which nothing imports in the image: a command
    of setuptools, a plugin of pytest.
    """
    return (each for each in files if not _BUILDERS.match(modules.get_relative_path(each)))


def skip_tools(modules: ModuleIndex, importer: str, files: Iterable[str]) -> Iterator[str]:
    """Skip files that only developers use, unless the app itself or a test imports them.

    Libraries import them in code that services do not run.
    """
    if modules.is_from_app(importer) or _TESTS.search(modules.get_relative_path(importer)):
        yield from files
    else:
        yield from (each for each in files if not _is_tool(modules, each))


def _is_tool(modules: ModuleIndex, path: str) -> bool:
    """Whether a file is a tool, by its path below the directory in ``sys.path``.

    The directories above may have any name: a virtual environment is often called ``venv``.
    """
    relative = modules.get_relative_path(path)
    return bool(
        _TESTS.search(relative)
        or _TOOLS.match(relative)
        or (_CONSOLE.match(relative) and modules.is_standard(path))
    )
