"""The map of the house: each name once, plain nouns, and arrows that point one way."""

from __future__ import annotations

import ast
import os
import subprocess
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

from repository import ROOT
from source_tree import imported_modules, modules, tree

if TYPE_CHECKING:
    from collections.abc import Mapping

TOP_LEVEL = {
    *("tracer", "builder", "slimtrace", "tests", "samples", "benchmarks", "docs"),
    *("pyproject.toml", "MANIFEST.in", "Makefile", "README.md", "LICENSE"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "changelog.d"),
}
PARTICIPLES = {
    *("asked", "found", "held", "known", "lacking", "left", "listed", "made", "measured", "named"),
    *("opened", "packed", "picked", "printed", "recorded", "said", "seen", "shown", "told"),
    *("touched", "transported", "tried", "wanted", "words", "written", "names", "places"),
    *("adding", "asking", "driving", "ending", "failing", "listening", "running", "starting"),
    *("stopping", "touching", "tracing", "waiting"),
}
"""What house.md's first rule forbids as file names: they say what was done, not what is there."""


def unit(module: str) -> str:
    """A folder below ``tracer`` or ``builder``, or a module that lies directly in one of them."""
    return ".".join(module.split(".")[1:3])


def circles(arrows: Mapping[str, set[str]]) -> set[str]:
    """What is left when all that needs nothing else that is left has been taken away, both ways."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while ends := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in ends}
    while left:
        needed = set().union(*left.values())
        if not (starts := left.keys() - needed):
            break
        left = {name: targets for name, targets in left.items() if name not in starts}
    return set(left)


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"b", "c"}
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()


def test_no_module_imports_itself_by_a_detour() -> None:
    assert circles({module: set(imported_modules(module)) for module in modules()}) == set()


def test_arrows_between_folders_point_one_way() -> None:
    arrows: defaultdict[str, set[str]] = defaultdict(set)
    for module in modules():
        arrows[unit(module)] |= {unit(other) for other in imported_modules(module)} - {unit(module)}
    assert circles(arrows) == set()


def test_no_two_files_have_one_name() -> None:
    """A command's file in ``cli/`` may be called as the command; each package has its own init."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in modules().values():
        name = os.path.basename(path)
        if name != "__init__.py" and os.path.basename(os.path.dirname(path)) != "cli":
            homes[name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_two_public_classes_have_one_name() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules():
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_files_are_named_by_nouns() -> None:
    names = {os.path.basename(path).removesuffix(".py"): path for path in modules().values()}
    assert {names[name] for name in names.keys() & PARTICIPLES} == set()


def test_the_top_level_is_the_one_that_the_user_set() -> None:
    hidden = {".ci", ".git", ".github", ".gitignore"}
    tracked = {path.split("/")[0] for path in _tracked()}
    assert tracked - hidden - TOP_LEVEL == set()


def _tracked() -> list[str]:
    """Without git, as in an unpacked sdist, what lies there but for what tools leave."""
    listed = subprocess.run(
        ["git", "ls-files"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode == 0:
        return listed.stdout.split("\n")[:-1]
    return [name for name in os.listdir(ROOT) if name in TOP_LEVEL]


@cache
def mirrored() -> set[str]:
    """The folders of tests/tracer and tests/builder."""
    return {
        os.path.relpath(folder, os.path.join(ROOT, "tests"))
        for package in ("tracer", "builder")
        for folder, _, _ in os.walk(os.path.join(ROOT, "tests", package))
        if "__pycache__" not in folder
    }


def test_the_tests_mirror_the_tree() -> None:
    assert {
        folder for folder in mirrored() if not os.path.isdir(os.path.join(ROOT, folder))
    } == set()
