"""Where distributions put the libraries of languages that they package.

Such a package belongs to the application, as one from the language's own installer does. The
interpreters and their standard libraries do not: those are kept by evidence.
"""

from __future__ import annotations

import re

_LIBRARIES = re.compile(
    r"/usr/(?:local/)?(?:"
    r"lib(?:64)?/python3(?:\.\d+)?/(?:dist|site)-packages/."
    r"|share/perl5/.|lib(?:64)?/(?:[^/]+-linux-gnu\w*/)?perl5/."
    r"|lib/ruby/vendor_ruby/.|share/rubygems-integration/.|lib/[^/]+-linux-gnu\w*/ruby/vendor_ruby/."
    r"|(?:share|lib(?:/[^/]+-linux-gnu\w*)?)/nodejs/.|lib/node_modules/."
    r"|share/php/."
    r"|lib(?:64)?/R/(?:site-library|library)/."
    r"|(?:share|lib(?:64)?(?:/[^/]+-linux-gnu\w*)?)/lua/5\.\d/."
    r"|lib/erlang/lib/."
    r")"
)
"""Debian, Alpine and Fedora: each policy for packages of the language names its folders."""


def is_library(path: str) -> bool:
    """Whether an own path is in a folder for libraries of a language."""
    return _LIBRARIES.match(path) is not None
