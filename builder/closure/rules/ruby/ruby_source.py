"""What a Ruby source loads by name, and which files it names below its own folder.

These are regular expressions and a small evaluator, and no parser of a library:
docs/explanation/libraries.md says why.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.ruby.path_expression import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rules.name_pattern import Pattern
    from slimtrace.builder.closure.rules.ruby.path_expression import Values

_BLOCK_COMMENT = re.compile(r"^=begin\b.*?(?:^=end\b[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\n[ \t]*#[^\n]*")
_CONSTANT = r"(?P<quote>['\"])(?P<name>[^'\"#\n]+)(?P=quote)(?![ \t]*[+%.])"
_REQUIRE = re.compile(rf"require(?P<relative>_relative)?[ \t(]+{_CONSTANT}")
_LOAD = re.compile(rf"load[ \t(]+{_CONSTANT}")
_AUTOLOAD = re.compile(r"autoload\??[ \t(]+:?['\"]?\w+['\"]?,\s*['\"](?P<name>[^'\"#\n]+)['\"]")
_IMPLICIT = (
    (re.compile(r"unicode_normal"), "unicode_normalize/normalize"),
    (re.compile(r"pp[ (]"), "pp"),
    (re.compile(r"Set\b"), "set"),
)
"""Features that Ruby itself loads for a method or a class (prelude.rb, string.c)."""

_ARGUMENT = (
    r"[ \t(]+(?=[a-z_@]\w*[ \t]*(?:[.(+});]|$)|[A-Z(]"
    r"|['\"](?:[^'\"#\n]|#(?!\{))*(?:#\{|['\"][ \t]*[+%.]))"
)
_HINTS = ("__dir__", "__FILE__", "Dir[", "Dir.glob", "$LOAD_PATH", "$:", "&method(:")
"""A source without any of these, and without a computed argument, has no path to evaluate."""
_COMPUTED = tuple(
    re.compile(rf"{use}{_ARGUMENT}", re.MULTILINE)
    for use in ("require", "require_relative", "load")
)

_VALUE = r"(?:__dir__|__FILE__|Dir[\[.]|File\.|Pathname|%[wi]\W|['\"]\w+['\"])"
_USES = (
    (
        re.compile(
            rf"(?P<use>require_relative|require_dependency|require){_ARGUMENT}", re.MULTILINE
        ),
        0,
    ),
    (re.compile(rf"(?P<use>load){_ARGUMENT}", re.MULTILINE), 0),
    (re.compile(r"(?P<use>autoload)[ \t(]+:?['\"]?\w+['\"]?,\s*(?=[^\s'\"])"), 0),
    (re.compile(r"\$(?P<use>LOAD_PATH|:)\.(?:unshift|push|append|prepend)[ \t(]+"), 0),
    (re.compile(r"\$(?P<use>LOAD_PATH|:)\s*<<\s*"), 0),
    (re.compile(r"\$(?P<use>LOAD_PATH|:)\s*\+=\s*"), 0),
    (
        re.compile(
            r"\n[ \t]*(?P<use>[A-Z]\w*|@{0,2}[a-z_]\w*)[ \t]*(?:\|\|)?=[ \t]*(?=[^\n]*"
            + _VALUE
            + ")"
        ),
        1,
    ),
    (re.compile(r"Dir(?:\[|\.glob)(?P<use>)"), -1),
    (re.compile(r"File\.(?:join|expand_path|absolute_path|realpath)(?P<use>)"), -1),
    (re.compile(r"Pathname(?:\.new)?[( ](?P<use>)"), -1),
    (re.compile(r"\"#\{(?P<use>)(?=__dir__|[A-Z@])"), -1),
    (re.compile(r"%[wi](?:\[[^\]]*\]|\([^)]*\)|\{[^}]*\})(?P<use>)(?=\s*\.each)"), -1),
    (re.compile(r"\[['\":][^\[\]]*\](?P<use>)(?=\s*\.each)"), -1),
)
"""Where an expression begins, and what becomes of its value: the groups ``use``.

-1: it begins with the match; 1: it is assigned to the name in ``use``; 0: ``use`` says.
"""

_MAX_EVALUATED_CHARACTERS = 1 << 20
"""A larger source is generated: a table, a parser. It puts no paths together."""

_IN_NAME = frozenset(f"{string.ascii_letters}{string.digits}_")
_BEFORE_NAME = _IN_NAME | frozenset(".$@:")
"""Before ``require``, these make it a part of another name, or a method of something else."""


@dataclass(slots=True)
class RubyNames:
    """What a source names.

    :ivar features: names that ``require`` and ``autoload`` look up in ``$LOAD_PATH``.
    :ivar relative: names that ``require_relative`` looks up from the source's folder.
    :ivar patterns: features of which a part is computed.
    :ivar load_path: directories that the source adds to ``$LOAD_PATH``.
    :ivar paths: absolute paths that the source puts together, with a computed part or without.
    """

    features: set[str] = field(default_factory=set)
    relative: set[str] = field(default_factory=set)
    patterns: set[Pattern] = field(default_factory=set)
    load_path: set[Pattern] = field(default_factory=set)
    paths: set[Pattern] = field(default_factory=set)


def read_names(text: str, path: str) -> RubyNames:
    """Find what a source names.

    Text in a string or in a trailing comment may add a name that is not loaded.

    :param path: the source's path, which ``__dir__`` and ``__FILE__`` are evaluated to.
    """
    code = text.partition("\n__END__\n")[0]
    if "=begin" in code:
        code = _BLOCK_COMMENT.sub("", code)
    code = _COMMENT.sub("", f"\n{code}")
    names = RubyNames()
    for match in _REQUIRE.finditer(code):
        if _is_call(code, match):
            (names.relative if match["relative"] else names.features).add(match["name"])
    names.features.update(each["name"] for each in _LOAD.finditer(code) if _is_call(code, each))
    names.features.update(match["name"] for match in _AUTOLOAD.finditer(code))
    for word, feature in _IMPLICIT:
        if any(code[each.start() - 1] not in _IN_NAME for each in word.finditer(code)):
            names.features.add(feature)
    if len(code) < _MAX_EVALUATED_CHARACTERS and _computes(code):
        _evaluate(names, code, path)
    return names


def _is_call(code: str, match: re.Match[str]) -> bool:
    """Whether a name stands alone, or after ``Kernel.``."""
    start = match.start()
    return code[start - 1] not in _BEFORE_NAME or code.endswith("Kernel.", 0, start)


def _computes(code: str) -> bool:
    """Whether an evaluation can find more than names in full."""
    return any(hint in code for hint in _HINTS) or any(each.search(code) for each in _COMPUTED)


def _evaluate(names: RubyNames, code: str, path: str) -> None:
    """Evaluate all expressions in their order: an assignment comes before its uses."""
    evaluation = Evaluation(path)
    done = 0
    for start, use, is_assignment in sorted(_find_expressions(code)):
        if not use and start < done:
            continue  # a part of an expression that was evaluated
        values, end = evaluation.evaluate_to_end(code, start)
        if is_assignment:
            evaluation.define(use, values)
        if use in {"LOAD_PATH", ":"}:
            names.load_path |= values
        elif use and not is_assignment:
            _add_loads(names, evaluation, use, values)
        for loaded in evaluation.loads:
            _add_loads(names, evaluation, "require", loaded)
        evaluation.loads.clear()
        paths = {each for each in values if each.text.startswith("/")}
        names.paths |= {each for each in paths if "\n" not in each.text}
        if paths and not is_assignment:
            done = end


def _find_expressions(code: str) -> Iterator[tuple[int, str, bool]]:
    """Find where expressions begin: the place, the use, and whether it is an assignment."""
    for pattern, kind in _USES:
        for match in pattern.finditer(code):
            if kind or match[0][0] == "$" or _is_call(code, match):
                yield match.start() if kind < 0 else match.end(), match["use"], kind == 1


def _add_loads(names: RubyNames, evaluation: Evaluation, use: str, values: Values) -> None:
    for value in values:
        if use == "require_relative" and not value.text.startswith("/"):
            names.paths.add(evaluation.join_own_folder(value))
        elif value.text.startswith("/"):
            names.paths.add(value)
        elif value.is_constant:
            names.features.add(value.text)
        else:
            names.patterns.add(value)
