"""The files that Python files imply: one module for each rule, over an index of the modules."""

from __future__ import annotations

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.python.backend_extensions import find_native_halves
from slimtrace.builder.closure.rules.python.codec_modules import find_codecs
from slimtrace.builder.closure.rules.python.deferred_imports import find_deferred_modules
from slimtrace.builder.closure.rules.python.entry_points import find_entry_points
from slimtrace.builder.closure.rules.python.imports import (
    find_imported_modules,
    find_modules_in_strings,
)
from slimtrace.builder.closure.rules.python.metadata import find_metadata
from slimtrace.builder.closure.rules.python.name_patterns import (
    find_named_data,
    find_named_modules,
)
from slimtrace.builder.closure.rules.python.pycache import find_twin
from slimtrace.builder.model import Keep, Reason

RULES = (
    ClosureRule(
        Reason.PYTHON_TWIN,
        find_twin,
        "the compiled file of a source, and the source of a compiled file; not of a source that "
        "is only kept with its whole package, or a codec: Python compiles those when it imports "
        "them",
    ),
    ClosureRule(
        Reason.PYTHON_METADATA,
        find_metadata,
        "the `dist-info` or `egg-info` of a module's distribution",
    ),
    ClosureRule(
        Reason.PYTHON_IMPORT,
        find_imported_modules,
        "what a touched Python module imports in functions and branches, also by "
        "`import_module` of a constant, and what that needs to load, also in functions that it "
        "then calls; extension modules with their libraries. Not: modules for other systems or "
        "Python versions, for developers, for using a library's module as a command, or that "
        "cannot be imported in the full image either",
    ),
    ClosureRule(
        Reason.PYTHON_STRING_IMPORT,
        find_modules_in_strings,
        "modules of touched packages that string constants name: `package.module`, "
        "`package.module:attribute`",
    ),
    ClosureRule(
        Reason.PYTHON_DEFERRED_IMPORT,
        find_deferred_modules,
        "modules of the standard library that Python modules without a run import in functions, "
        "by a call or by a string, and those that the interpreter imports by itself; also beside "
        "an installed module that no package lists. No tools for developers",
        Keep.APP,
    ),
    ClosureRule(
        Reason.PYTHON_NAME_PATTERN,
        find_named_modules,
        "modules whose name a kept source puts together and imports, where a part is constant: "
        '`import_module(f"pkg.backends.{name}")`, `__import__("pkg." + name)`, `".%s" % name`; '
        "what fits in the package that the constant part names, up to 64 MiB or 2,000 files",
        Keep.APP,
    ),
    ClosureRule(
        Reason.PYTHON_DATA,
        find_named_data,
        "files whose path a kept source puts together from `__file__` or a package's name: "
        '`os.path.join(HERE, "themes", name)`, `BASE_DIR / "locale"`, `files("pkg")`, '
        "`pkgutil.get_data`; of a folder all files, up to 64 MiB or 2,000 files. No programs",
        Keep.APP,
    ),
    ClosureRule(
        Reason.PYTHON_NATIVE_HALF,
        find_native_halves,
        "extension modules directly in `site-packages` whose names are constants in a kept "
        "extension: `_cffi_backend`",
        Keep.APP,
    ),
    ClosureRule(
        Reason.PYTHON_ENTRY_POINT,
        find_entry_points,
        "the modules of installed plugins: members of the entry point groups that a kept module "
        "names, if it reads entry points. Not commands",
        Keep.APP,
    ),
    ClosureRule(
        Reason.PYTHON_CODEC,
        find_codecs,
        "all codecs of a kept Python interpreter: its package `encodings`; and the locale C.UTF-8, "
        "which Python takes in place of C",
        Keep.APP,
    ),
)
