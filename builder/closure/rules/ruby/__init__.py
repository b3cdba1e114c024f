"""The files that Ruby files imply: one module for each rule, over the folders of ``$LOAD_PATH``."""

from __future__ import annotations

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.ruby.gem_specification import find_gemspecs
from slimtrace.builder.closure.rules.ruby.ruby_requires import (
    find_computed_paths,
    find_encodings,
    find_required_features,
)
from slimtrace.builder.model import Keep, Reason

RULES = (
    ClosureRule(
        Reason.RUBY_GEMSPEC,
        find_gemspecs,
        "a gem's specification, and what was compiled for the gem",
    ),
    ClosureRule(
        Reason.RUBY_REQUIRE,
        find_required_features,
        "what Ruby code loads with `require`, `require_relative`, `load` and `autoload` in any "
        "branch, by a constant name or one of which a part is constant; from the folders of "
        "`$LOAD_PATH`, the standard library and installed gems. Not: tools for developers and for "
        "installing gems that a library names",
        Keep.APP,
    ),
    ClosureRule(
        Reason.RUBY_PATH,
        find_computed_paths,
        "what Ruby code names by paths that it puts together from its own folder: "
        '`File.join(__dir__, "views")`, `Dir["#{__dir__}/plugins/*.rb"]`; what fits the constant '
        "part of such a path",
        Keep.APP,
    ),
    ClosureRule(
        Reason.RUBY_ENCODING,
        find_encodings,
        "all encodings and converters of a Ruby that ran",
        Keep.APP,
    ),
)
