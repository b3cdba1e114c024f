"""What a Python distribution requires (packaging.python.org, "Dependency specifiers").

Its extras count where all that they require is installed: then somebody asked for them. Extras for
its developers do not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_FOR_DEVELOPERS = re.compile(
    r"(?:.*[-_.])?(?:tests?|testing|dev|devel|develop(?:ment)?|docs?|documentation|sphinx"
    r"|lint(?:ing|ers?)?|typ(?:e|es|ing)|mypy|checks?|cov(?:er|erage)?|build|release|bench(?:marks?)?"
    r"|style|format(?:ting)?|pre-?commit|tox|nox|ci|qa|enabler)",
    re.IGNORECASE,
)
_VERSION = re.compile(r".*/(?P<name>python|pypy)(?P<version>3\.\d+)/")
_EXTRA = re.compile(r"extra\s*==\s*[\"']([^\"']+)[\"']|[\"']([^\"']+)[\"']\s*==\s*extra")
_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")


def list_required(requires: Iterable[str], site: str, installed: Collection[str]) -> Iterator[str]:
    """List the normalized names of the installed distributions that these fields require.

    :param requires: values of ``Requires-Dist``.
    :param site: the directory of the distribution: its path says the version of Python.
    :param installed: normalized names of the distributions in it.
    """
    by_extra: defaultdict[str, list[str]] = defaultdict(list)
    for requirement in requires:
        name, extras = _read(requirement, site)
        for extra in extras if name else ():
            by_extra[extra].append(normalize(name))
    for extra, names in by_extra.items():
        if not extra or (
            not _FOR_DEVELOPERS.fullmatch(extra) and all(name in installed for name in names)
        ):
            yield from (name for name in names if name in installed)


def normalize(name: str) -> str:
    """Normalize a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(requirement: str, site: str) -> tuple[str, tuple[str, ...]]:
    """Read the name, and the extras that require it here: "" for what is required without one."""
    match = _NAME.match(requirement)
    if match is None:
        return "", ()
    marker = requirement.partition(";")[2]
    if not marker:
        return match[1], ("",)
    extras = tuple({one or other for one, other in _EXTRA.findall(marker)})
    return match[1], tuple(each for each in extras or ("",) if _holds(marker, site, each))


def _holds(marker: str, site: str, extra: str) -> bool:
    """Whether a marker holds for the Python that has this directory; True if that is not known."""
    from packaging.markers import (  # noqa: PLC0415 -- few builds have a marker to evaluate
        InvalidMarker,
        Marker,
        UndefinedComparison,
        UndefinedEnvironmentName,
    )

    python = _VERSION.match(f"{site}/")
    if python is None:
        return True
    version = python["version"]
    around = {
        "extra": extra,
        "implementation_name": "cpython" if python["name"] == "python" else "pypy",
        "os_name": "posix",
        "platform_python_implementation": "CPython" if python["name"] == "python" else "PyPy",
        "platform_system": "Linux",
        "python_full_version": f"{version}.99",
        "python_version": version,
        "sys_platform": "linux",
    }
    try:
        return Marker(marker.strip()).evaluate(around)
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return True
