"""Which installed distributions a Python distribution requires."""

from __future__ import annotations

import pytest

from slimtrace.builder.packages.languages.python_requirements import list_required

SITE = "/opt/venv/lib/python3.11/site-packages"
INSTALLED = frozenset({"one", "two-words", "old", "pytest", "sphinx"})

# value of Requires-Dist (several: separated by |), what it requires
REQUIRES = [
    ("one", "one"),
    ("One (>=1.0)", "one"),
    ("two.words[fast]~=2.0,!=2.3", "two-words"),
    ("absent>=1", ""),
    ("one @ https://example.org/one.zip", "one"),
    ("one>=1; python_version >= '3.9'", "one"),
    ("old; python_version < '3.11'", ""),
    ("old; python_full_version < '3.11.1'", ""),
    ("one; sys_platform == 'win32' or os_name == 'nt'", ""),
    ("one; platform_python_implementation == 'PyPy'", ""),
    ("one; extra == 'fast'", "one"),
    ("one; extra == 'fast' | absent; extra == 'fast'", ""),
    ("one; extra == 'fast' | absent; extra == 'other'", "one"),
    ("one; extra == 'fast' | old; extra == 'fast' and python_version < '3'", "one"),
    ("pytest; extra == 'test'", ""),
    ("pytest; extra == 'dev-tools-tests' | sphinx; 'docs' == extra", ""),
    ("one; no marker at all", "one"),
    ("!", ""),
]


@pytest.mark.parametrize(("fields", "names"), REQUIRES)
def test_requirements(fields: str, names: str) -> None:
    requires = [field.strip() for field in fields.split("|")]
    assert [*list_required(requires, SITE, INSTALLED)] == names.split()


def test_a_python_of_an_unknown_version_requires_all() -> None:
    site = "/usr/lib/python3/dist-packages"
    assert [*list_required(["old; python_version < '3.11'"], site, INSTALLED)] == ["old"]


def test_another_interpreter() -> None:
    requires = ["one; platform_python_implementation == 'PyPy'"]
    assert [*list_required(requires, "/opt/lib/pypy3.10/site-packages", INSTALLED)] == ["one"]
