"""The changelog's fragments: towncrier can join them, and each is of a type that it knows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest
from repository import ROOT

pytest.importorskip("towncrier", reason="towncrier is of the dependency group dev")

FOLDER = os.path.join(ROOT, "changelog.d")


def _settings() -> dict[str, list[dict[str, str]]]:
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        settings: dict[str, list[dict[str, str]]] = tomllib.load(file)["tool"]["towncrier"]
    return settings


def _fragments() -> list[str]:
    return sorted(name for name in os.listdir(FOLDER) if name != "README.md")


def test_every_fragment_has_a_type_that_there_is() -> None:
    types = "|".join(each["directory"] for each in _settings()["type"])
    name = re.compile(rf"(?:[0-9]+|\+[a-z0-9-]+)\.(?:{types})(?:\.[0-9]+)?\.md")
    assert [each for each in _fragments() if not name.fullmatch(each)] == []


def test_the_types_are_those_of_the_readme() -> None:
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as file:
        listed = re.findall(r"^\| `([a-z]+)` \|", file.read(), re.MULTILINE)
    assert listed == [each["directory"] for each in _settings()["type"]]


def test_a_draft_has_every_fragment() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    draft = " ".join(done.stdout.split())
    assert "## next" in draft
    for each in _fragments():
        with open(os.path.join(FOLDER, each), encoding="utf-8") as file:
            assert " ".join(file.read().split()) in draft, each


def test_the_changelog_has_the_line_that_towncrier_looks_for() -> None:
    with open(os.path.join(ROOT, "CHANGELOG.md"), encoding="utf-8") as file:
        assert file.read().count(str(_settings()["start_string"])) == 1
