"""House rules that a reader would have to check by hand: who may import what, and how long."""

from __future__ import annotations

import ast
import os

from repository import ROOT
from source_tree import imported_names, is_in, modules, text, tree

MAX_LINES = 400
KNOWN_TO_THE_BUILDER = (
    "slimtrace.tracer.caution",
    "slimtrace.tracer.cli.drive_command",
    "slimtrace.tracer.cli.options",
    "slimtrace.tracer.cli.value_parsers",
    "slimtrace.tracer.console",
    "slimtrace.tracer.drive.step_options",
    "slimtrace.tracer.end_signals",
    "slimtrace.tracer.environment",
    "slimtrace.tracer.errors",
    "slimtrace.tracer.sandbox.rootless",
    "slimtrace.tracer.image.accounts",
    "slimtrace.tracer.image.image_options",
    "slimtrace.tracer.image.opened_image",
    "slimtrace.tracer.image.run_config",
    "slimtrace.tracer.path_resolution",
    "slimtrace.tracer.paths",
    "slimtrace.tracer.registry_access",
    "slimtrace.tracer.remove_tree",
    "slimtrace.tracer.rerun_options",
    "slimtrace.tracer.startup.trial",
    "slimtrace.tracer.stdout",
    "slimtrace.tracer.syscalls.classes",
    "slimtrace.tracer.temporary_folder",
    "slimtrace.tracer.text",
    "slimtrace.tracer.trace",
    "slimtrace.tracer.version",
)
"""What the builder may import of the tracer: the trace and how to print, no live process."""


def test_the_tracer_knows_nothing_of_the_builder() -> None:
    above = ("slimtrace.builder", "slimtrace.main", "slimtrace.slim")
    tracer = [module for module in modules() if is_in(module, ("slimtrace.tracer",))]
    assert len(tracer) > 100
    assert [
        (module, name) for module in tracer for name in imported_names(module) if is_in(name, above)
    ] == []


def test_the_builder_reads_traces_and_never_a_live_process() -> None:
    other = ("slimtrace.tracer", "slimtrace.main", "slimtrace.slim", "psutil", "ptrace")
    builder = [module for module in modules() if is_in(module, ("slimtrace.builder",))]
    assert len(builder) > 150
    assert [
        (module, name)
        for module in builder
        for name in imported_names(module)
        if is_in(name, other) and not is_in(name, KNOWN_TO_THE_BUILDER)
    ] == []


def test_ctypes_lives_in_the_kernel_package_alone() -> None:
    users = {
        module
        for module in modules()
        if any(is_in(name, ("ctypes", "ptrace")) for name in imported_names(module))
    }
    assert users
    assert {user for user in users if not is_in(user, ("slimtrace.tracer.kernel",))} == set()


def test_no_module_is_long() -> None:
    lines = {modules()[module]: len(text(module).splitlines()) for module in modules()}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_nothing_prints_tracebacks() -> None:
    """The one error boundary lets ``--verbose`` re-raise; nothing else shows them."""
    banned = {"print_exc", "format_exc", "print_exception", "excepthook"}
    for module in modules():
        names = [*imported_names(module)]
        assert not [name for name in names if is_in(name, ("traceback", "faulthandler"))], module
        used = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
        assert not used & banned, module


def test_no_handler_swallows_everything() -> None:
    """A bare ``except`` or ``except BaseException`` does something with what it caught."""
    for module in modules():
        for node in ast.walk(tree(module)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            assert node.type is not None, f"{module}:{node.lineno}: a bare except"
            broad = isinstance(node.type, ast.Name) and node.type.id in (
                "Exception",
                "BaseException",
            )
            idle = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            assert not (broad and idle), f"{module}:{node.lineno}: swallows everything"


def test_every_folder_is_a_package() -> None:
    """Else it would not be installed."""
    folders = {os.path.dirname(path) for path in modules().values()}
    assert {
        folder
        for folder in folders
        if not os.path.exists(os.path.join(ROOT, folder, "__init__.py"))
    } == set()


def test_the_package_is_typed() -> None:
    assert os.path.exists(os.path.join(ROOT, "slimtrace", "py.typed"))
