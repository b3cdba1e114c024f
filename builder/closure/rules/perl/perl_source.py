"""What Perl code loads by name (perlfunc: use, require, do), and which names it puts together.

These are regular expressions and a small evaluator, and no parser of a library: only perl can parse
Perl (perlfaq7), tree-sitter's grammar for it has no wheel that works on each machine that we
support, and it reads a megabyte in 170 ms, where this takes 20.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME = r"[A-Za-z_]\w*(?:(?:::|')\w+)*"
_POD = re.compile(r"\n=[A-Za-z].*?(?:\n=cut\b[^\n]*|\Z)", re.DOTALL)
_COMMENT = re.compile(r"\n[ \t]*#[^\n]*")
_LOADS = tuple(re.compile(rf"{word}\s+(?P<name>{NAME})") for word in ("use", "no", "require"))
_RUNTIME = re.compile(
    r"(?:require_module|use_module|use_package_optimistically|load_class|try_load_class"
    rf"|load_optional_class)\b\s*\(?\s*['\"](?P<name>{NAME})['\"]"
)
"""Functions of Module::Runtime, Class::Load and Mojo::Loader."""
_FILES = tuple(
    re.compile(rf"""{word}\s*\(?\s*(?:"([^"$@\n]+)"|'([^'\n]+)')""") for word in ("require", "do")
)
_PARENTS = tuple(
    re.compile(
        rf"{word}\b\s*\(?(?P<names>(?:\s|,|=>|-norequire|qw\s*[(/\[{{<|!]|[)/\]}}>|!]|['\"]|{NAME})+)"
    )
    for word in (r"use\s+(?:base|parent|aliased)", "extends", "with")
)
_IF = re.compile(rf"""use\s+(?:if\b[^;]*?,|autouse\b)\s*['"]?(?P<name>{NAME})""")
PACKAGE = re.compile(rf"^\s*package\s+({NAME})", re.MULTILINE)

_IMPLICIT = (
    (r"%!|\$!\s*\{", "Errno.pm"),
    (r"%[+-](?!\w)|\$[+-]\{", "Tie/Hash/NamedCapture.pm"),
    (r"glob\b", "File/Glob.pm"),
    (r"<[^<>\n;=()]*\*[^<>\n;=()]*>", "File/Glob.pm"),
    (r"->\s*(?:autoflush|binmode|blocking|close|fileno|getlines?|printf?|say)\b", "IO/File.pm"),
    (r":encoding\(", "PerlIO.pm PerlIO/encoding.pm"),
    (r"open\b[^;]*\\", "PerlIO.pm PerlIO/scalar.pm"),
    (r"\\N\{", "_charnames.pm"),
    (r"require\s+\"File/Spec/\$", "File/Spec/Unix.pm"),
)
"""Modules that perl loads itself when code uses such a feature (perlvar, perlfunc, IO::Handle,
PerlIO), and that File::Spec loads on Unix.
"""
_FEATURES = tuple((re.compile(pattern), files.split()) for pattern, files in _IMPLICIT)

_STRINGS = (
    re.compile(r"'([A-Za-z_]\w*(?:::\w+)+)(::)?'(?!\s*\.)"),
    re.compile(r'"([A-Za-z_]\w*(?:::\w+)+)(::)?"(?!\s*\.)'),
)
_PREFIXES = (
    re.compile(r'"(?P<prefix>[A-Za-z_]\w*(?:::\w+)*)::[$@]'),
    re.compile(r"'(?P<prefix>[A-Za-z_]\w*(?:::\w+)*)::'\s*\."),
    re.compile(r'"(?P<prefix>[A-Za-z_]\w*(?:::\w+)*)::"\s*\.'),
)
_OWN_PREFIXES = (
    re.compile(r'__PACKAGE__\s*\.\s*["\'](?P<rest>(?:::\w+)*)::(?:["\']|\$)'),
    re.compile(
        r"['\"]?\$\{?(?:class|self|package|pkg)\}?['\"]?\s*\.\s*['\"](?P<rest>(?:::\w+)+)::"
    ),
)
_PLUGGABLE = re.compile(r"use\s+Module::Pluggable\b(?P<options>[^;]*)")
_FIND = re.compile(
    rf"(?:useall|usesub|findsubmod|findallmod|find_modules|find_packages|search_path)\b[\s(=>\[]*['\"]?(?P<name>{NAME})"
)

_IN_NAME = frozenset(f"{string.ascii_letters}{string.digits}_$@%&>:-")
"""Before ``use``, these make it a part of another name, a variable or a method."""


@dataclass(slots=True)
class PerlNames:
    """The module names that code puts together or names in a string.

    :ivar modules: names in strings, with at least two parts.
    :ivar prefixes: the constant parts before a computed one: ``Foo::Plugin`` of
        ``"Foo::Plugin::$name"``.
    :ivar namespaces: names below which all modules are searched for.
    """

    modules: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)


def strip_source(source: str) -> str:
    """Remove documentation, comments on lines of their own, and what follows the code."""
    code = f"\n{source}"
    for end in ("\n__END__\n", "\n__DATA__\n"):
        code = code.partition(end)[0]
    code = code.removesuffix("\n__END__").removesuffix("\n__DATA__")
    if "\n=" in code:
        code = _POD.sub("", code)
    return _COMMENT.sub("", code)


def scan_loads(code: str) -> Iterator[str]:
    """Find the files that code loads by constant names, relative to @INC.

    :param code: as :func:`strip_source` gives it.
    """
    for match in _find_words(code, (*_LOADS, _IF, _RUNTIME)):
        yield make_file_name(match["name"])
    for match in _find_words(code, _FILES):
        yield match[1] or match[2]
    for match in _find_words(code, _PARENTS):
        names = re.findall(NAME, match["names"])
        yield from (make_file_name(each) for each in names if each not in _NO_PARENTS)
    for feature, files in _FEATURES:
        if feature.search(code):
            yield from files


_NO_PARENTS = {"qw", "norequire"}


def scan_names(code: str, path: str) -> PerlNames:
    """Find the module names that code puts together or names in a string.

    :param path: the file's path; its last parts are the name of its package.
    """
    names = PerlNames()
    for pattern in _STRINGS:
        for match in pattern.finditer(code):
            (names.namespaces if match[2] else names.modules).add(match[1])
    for pattern in _PREFIXES:
        names.prefixes.update(match["prefix"] for match in pattern.finditer(code))
    packages = [each for each in PACKAGE.findall(code) if path.endswith(make_file_name(each))]
    for own in packages[:1]:
        for pattern in _OWN_PREFIXES:
            names.prefixes.update(f"{own}{match['rest']}" for match in pattern.finditer(code))
    for match in _PLUGGABLE.finditer(code):
        given = re.search(r"search_path\s*=>\s*(?P<paths>\[[^\]]*\]|[^,)]*)", match["options"])
        found = re.findall(NAME, given["paths"]) if given else []
        names.namespaces.update(each for each in found if each not in {"qw", "__PACKAGE__"})
        names.namespaces.update(f"{own}::Plugin" for own in packages[:1] if not given)
    names.namespaces.update(
        match["name"] for match in _FIND.finditer(code) if "::" in match["name"]
    )
    return names


def make_file_name(module: str) -> str:
    """The file of a module, relative to @INC: ``A/B.pm`` of ``A::B``."""
    return module.replace("::", "/").replace("'", "/") + ".pm"


def _find_words(code: str, patterns: Iterable[re.Pattern[str]]) -> Iterator[re.Match[str]]:
    """Find the matches that begin a word of their own."""
    for pattern in patterns:
        for match in pattern.finditer(code):
            if code[match.start() - 1] not in _IN_NAME:
                yield match
