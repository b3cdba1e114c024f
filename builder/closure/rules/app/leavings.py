"""What lies in an application's folders and is not the application.

Data of version control, caches, tests, documentation, and what is left from building it.
"""

from __future__ import annotations

import re

_ANYWHERE = re.compile(
    r"\.(?:git|hg|svn|bzr|github|gitlab|circleci|tox|nox|idea|vscode|cache|hypothesis)|CVS"
    r"|__pycache__|\.(?:pytest|mypy|ruff)_cache|\.nyc_output|tests|__tests__|CMakeFiles"
    r"|.*\.dSYM|.*\.trace\.d"
    r"|(?:darwin|win32|android|freebsd|openbsd|sunos|aix)-(?:x64|x32|ia32|arm\w*|ppc\w*).*"
)
"""Names of folders that are no part of the application wherever they are. Python's bytecode has a
rule of its own."""

_ON_TOP = re.compile(
    r"tests?|specs?|features|docs?|man|examples?|samples?|benchmarks?|bench|coverage|include"
)
"""Names of folders directly in a package that are no part of it. Deeper ones may be code."""

_SUFFIXES = (
    *(".a", ".la", ".o", ".obj", ".lo", ".gch"),
    *(".h", ".hh", ".hpp", ".hxx", ".c", ".cc", ".cpp", ".cxx", ".pxd", ".pyx"),
    *(
        ".pod",
        ".po",
        ".pot",
        ".pyi",
        ".d.ts",
        ".d.mts",
        ".d.cts",
        ".js.map",
        ".css.map",
        ".mjs.map",
    ),
    *(".swp", ".orig", ".rej", "~"),
)
"""Sources that a compiler reads, what it makes on the way, and copies that editors leave."""

_TEXTS = re.compile(
    r"(?:README|CHANGE(?:S|LOG)|HISTORY|NEWS|AUTHORS|CONTRIBUT\w+|TODO|UPGRADING)(?:[.-].*)?"
    r"|Makefile|CMakeLists\.txt|Dockerfile(?:\..*)?|\.git(?:ignore|attributes|modules)"
    r"|\.dockerignore|\.editorconfig|\.npmignore|\.travis\.yml",
    re.IGNORECASE,
)
"""Files directly in a package or folder that people and builders read."""


_SUFFIXES_OF_KIND = {
    "npm": (".ts", ".mts", ".cts", ".tsx", ".flow", ".coffee", ".map", ".md", ".markdown"),
    "composer": (".md", ".rst", ".neon", ".dist", ".phpt"),
}
"""Sources and texts in packages of a kind; elsewhere such a file may be the application's data.
Node.js refuses TypeScript below ``node_modules``."""


def is_package_leaving(kind: str, relative: str) -> bool:
    """Whether a file of a package is no part of the application.

    :param kind: the kind of package.
    :param relative: the file's path below the package's folder.
    """
    return relative.endswith(_SUFFIXES_OF_KIND.get(kind, ())) or is_leaving(relative)


def is_leaving_folder(relative: str) -> bool:
    """Whether a folder is no part of the application.

    :param relative: its path below the application's folder or the package.
    """
    name = relative.rpartition("/")[2]
    return bool(
        _ANYWHERE.fullmatch(name) or ("/" not in relative and _ON_TOP.fullmatch(name.lower()))
    )


def is_leaving_file(relative: str) -> bool:
    """Whether a file is no part of the application, by its own name.

    :param relative: its path below the application's folder or the package.
    """
    is_text = "/" not in relative and _TEXTS.fullmatch(relative) is not None
    return is_text or relative.endswith(_SUFFIXES)


def is_leaving(relative: str) -> bool:
    """Whether a file is no part of the application, or in a folder that is none.

    :param relative: its path below the application's folder or the package.
    """
    if is_leaving_file(relative):
        return True
    folder = relative.rpartition("/")[0]
    while folder:
        if is_leaving_folder(folder):
            return True
        folder = folder.rpartition("/")[0]
    return False
