"""House rules that a reader would have to check by hand: who may import what, and how long."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING

import pytest
from repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINES = 400
KNOWN_TO_THE_BUILDER = (
    *(
        "slimtrace.tracer.errors",
        "slimtrace.tracer.trace",
        "slimtrace.tracer.console",
    ),
    *(
        "slimtrace.tracer.syscalls.classes",
        "slimtrace.tracer.paths",
        "slimtrace.tracer.remove_tree",
        "slimtrace.tracer.host.rootless",
    ),
    *("slimtrace.tracer.version", "slimtrace.tracer.startup.trial"),
)
"""What the builder may know of the tracer: the saved artefact and how to speak, no live process."""


def _modules(package: str) -> Iterator[str]:
    for folder, _, names in os.walk(os.path.join(ROOT, package)):
        for name in sorted(names):
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def _tree(module: str) -> ast.Module:
    with open(os.path.join(ROOT, module)) as file:
        return ast.parse(file.read(), module)


def _imports(module: str) -> set[str]:
    """The modules that a module imports, inside functions and for types too."""
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: an import says in full where from"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


TRACER, BUILDER = sorted(_modules("tracer")), sorted(_modules("builder"))


def test_there_is_something_to_check() -> None:
    assert "tracer/trace/trace.py" in TRACER
    assert "builder/model.py" in BUILDER


@pytest.mark.parametrize("module", TRACER)
def test_the_tracer_knows_nothing_of_the_builder(module: str) -> None:
    assert {
        name for name in _imports(module) if _is_in(name, ("slimtrace.builder", "slimtrace.main"))
    } == set()


@pytest.mark.parametrize("module", BUILDER)
def test_the_builder_reads_traces_and_never_a_live_process(module: str) -> None:
    known = {
        name for name in _imports(module) if _is_in(name, ("slimtrace.tracer", "slimtrace.main"))
    }
    assert {name for name in known if not _is_in(name, KNOWN_TO_THE_BUILDER)} == set()
    assert not {name for name in _imports(module) if _is_in(name, ("psutil", "ptrace"))}


@pytest.mark.parametrize("module", [*TRACER, *BUILDER, "slimtrace/main.py"])
def test_ctypes_lives_in_the_kernel_package_alone(module: str) -> None:
    foreign = {name for name in _imports(module) if _is_in(name, ("ctypes", "ptrace"))}
    assert foreign == set() or module.startswith("tracer/kernel/")


@pytest.mark.parametrize("module", [*TRACER, *BUILDER, "slimtrace/main.py"])
def test_no_module_is_long(module: str) -> None:
    with open(os.path.join(ROOT, module)) as file:
        assert sum(1 for _ in file) <= MOST_LINES


@pytest.mark.parametrize("module", [*TRACER, *BUILDER, "slimtrace/main.py"])
def test_nothing_prints_tracebacks(module: str) -> None:
    """The one error boundary lets ``--verbose`` re-raise; nothing else shows them."""
    assert not {name for name in _imports(module) if _is_in(name, ("traceback", "faulthandler"))}
    names = {node.attr for node in ast.walk(_tree(module)) if isinstance(node, ast.Attribute)}
    assert not names & {"print_exc", "format_exc", "print_exception", "excepthook"}


@pytest.mark.parametrize("module", [*TRACER, *BUILDER, "slimtrace/main.py"])
def test_no_handler_swallows_everything(module: str) -> None:
    """A bare ``except`` or ``except BaseException`` does something with what it caught."""
    for node in ast.walk(_tree(module)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        assert node.type is not None, f"{module}:{node.lineno}: a bare except"
        broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
        idle = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
        assert not (broad and idle), f"{module}:{node.lineno}: swallows everything"


@pytest.mark.parametrize("module", [*TRACER, *BUILDER])
def test_every_folder_is_a_package(module: str) -> None:
    """Else it would not be installed."""
    assert os.path.exists(os.path.join(ROOT, os.path.dirname(module), "__init__.py"))


def test_the_package_is_typed() -> None:
    assert os.path.exists(os.path.join(ROOT, "slimtrace", "py.typed"))
