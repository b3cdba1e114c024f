"""The files that Perl files imply: one module for each kind of name, over the folders of @INC."""

from __future__ import annotations

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.perl.perl_modules import (
    find_module_libraries,
    find_required_files,
)
from slimtrace.builder.closure.rules.perl.perl_names import find_computed_paths, find_named_modules
from slimtrace.builder.model import Keep, Reason

RULES = (
    ClosureRule(
        Reason.PERL_REQUIRE,
        find_required_files,
        "what Perl code loads by a constant name, and what perl itself then loads",
    ),
    ClosureRule(
        Reason.PERL_LIBRARY,
        find_module_libraries,
        "the native half of a Perl module, and its split files",
    ),
    ClosureRule(
        Reason.PERL_PLUGIN,
        find_named_modules,
        "modules that Perl code names in strings, as Encode's tables do, or by a name of which a "
        'part is constant: `"Shop::Plugin::$name"`, `use Module::Pluggable`. Of perl\'s own '
        "library only those of the same top name",
        Keep.APP,
    ),
    ClosureRule(
        Reason.PERL_PATH,
        find_computed_paths,
        "what Perl code names by paths that it puts together from its own folder: "
        '`use lib "$FindBin::Bin/lib"`, `catdir(dirname(__FILE__), "templates")`; what fits the '
        "constant part of such a path",
        Keep.APP,
    ),
)
