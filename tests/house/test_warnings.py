"""Every warning says what the user can do."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from source_tree import modules, tree

from slimtrace.tracer.caution import Caution
from slimtrace.tracer.trace.gaps import LOSES_FILES, find_next_step

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY = 20
"""There are more kinds of warning than this: a scan that finds fewer looks in the wrong place."""


def _calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for module in modules():
        for node in ast.walk(tree(module)):
            function = node.func if isinstance(node, ast.Call) else None
            if isinstance(node, ast.Call) and isinstance(function, ast.Name):
                yield from [(f"{module}:{node.lineno}", node)] if function.id == name else []


def _words(node: ast.expr) -> list[str]:
    """The words of a literal, or of a string with values in it."""
    parts = [each for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return " ".join(str(each.value) for each in parts).split()


def test_every_warning_is_made_with_a_next_step() -> None:
    found = dict(_calls("Caution"))
    assert len(found) > _MANY
    for place, call in found.items():
        assert len(call.args) == 2, place
        step = call.args[1]
        is_text = isinstance(step, ast.Constant | ast.JoinedStr)
        assert len(_words(step)) >= 3 or not is_text, f"{place}: what can the user do?"


def test_nothing_else_is_a_warning() -> None:
    """What is printed or collected as a warning has the type that demands the next step."""
    for module in modules():
        for node in ast.walk(tree(module)):
            texts = []
            if isinstance(node, ast.FunctionDef) and "warning" in node.name:
                texts = [node.returns]
            elif isinstance(node, ast.AnnAssign | ast.arg):
                name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
                texts = [node.annotation] if "warning" in name else []
            types = [ast.unparse(text) for text in texts if text is not None]
            assert not [text for text in types if "str" in text], (module, ast.unparse(node))
    for place, call in _calls("warn"):
        assert not isinstance(call.args[0], ast.Constant | ast.JoinedStr), place


@pytest.mark.parametrize("kind", sorted(kind for kind, loses in LOSES_FILES.items() if loses))
def test_every_gap_that_loses_files_has_a_next_step(kind: str) -> None:
    assert kind == "interrupted" or find_next_step(kind) != find_next_step("interrupted")


def test_a_warning_is_one_line() -> None:
    caution = Caution("it is so", "do that")
    assert (caution, caution.next_step) == ("it is so; do that", "do that")
