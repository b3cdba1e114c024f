"""What JavaScript names by its own place and constants: workers, views, locales, static files."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.closure.rules.node.js_expression import JsExpression
from slimtrace.builder.closure.rules.node.specifiers import is_inside, list_quoted_spans
from slimtrace.builder.closure.rules.path_values import OWN, UNKNOWN_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rules.path_values import Values

_STRING_START = r"""(?:`[^`$\n]*\$\{|'[^'\n]+'\s*\+|"[^"\n]+"\s*\+)"""
_HINTS = ("__dirname", "__filename", "import.meta", "Worker", "fork")
_COMPUTED_LOAD = re.compile(rf"(?:require|import|resolve)\s*\(\s*{_STRING_START}")
"""What only an evaluation can resolve. Few sources have it."""

_STARTS = (
    r"(?P<load>(?<![\w$.])(?:require(?:\s*\.\s*resolve)?|import(?:\s*\.\s*meta\s*\.\s*resolve)?)\s*\()"
    r"|(?P<start>(?<![\w$])(?:Worker|fork)\s*\()"
    r"|(?<![\w$])(?:join|resolve|dirname|normalize|fileURLToPath|realpathSync|URL)\s*\("
    r"|`|(?<![\w$.])(?:__dirname|__filename|import\.meta\.(?:dirname|filename|url))\b"
)
"""Where an expression can begin that gives a path, or names a module or a worker."""

_DEFINED = re.compile(
    r"(?P<name>(?<![\w$.])[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)\s*=\s*"
    r"(?:await\s+)?(?:new\s+)?(?:[\w$]+\s*\.\s*)*$"
)
_TEXTS = re.compile(r"(?:const|let|var)\s+(\w+)\s*=\s*(['\"])([\w./-]+)\2\s*[;,\n]")

_MAX_EVALUATED_CHARACTERS = 1 << 18
"""A larger source is a bundle, whose names are those of its own parts."""

_MAX_NAMES = 200
"""Variables with a path that one source can have."""

_BEFORE = 120
"""Characters before an expression in which a variable is looked for."""


class NamedPath(NamedTuple):
    """A path that a source names.

    :ivar text: an absolute path, or the name of a package and a path in it.
    :ivar is_module: whether it is loaded as a module: its suffix may be left out.
    """

    text: str
    is_module: bool


def find_named_paths(source: str, path: str, cwd: str) -> set[NamedPath]:
    """Find the paths that a source puts together from its own place and constants.

    Computed parts are :data:`UNKNOWN`. Constant names of modules are not found again.

    :param path: the source's own path.
    :param cwd: the working directory, where Node.js looks for workers.
    """
    if len(source) > _MAX_EVALUATED_CHARACTERS:
        return set()
    if any(hint in source for hint in _HINTS) or _COMPUTED_LOAD.search(source):
        return _Reader(source, path, cwd).read()
    return set()


class _Reader:
    """Evaluates the expressions of one source."""

    def __init__(self, source: str, path: str, cwd: str) -> None:
        self._source = source
        self._folder = posixpath.dirname(path)
        self._cwd = cwd
        self._quoted: list[tuple[int, int]] | None = None
        own = frozenset({f"{OWN}{path}"})
        folder = frozenset({f"{OWN}{self._folder}"})
        self._names: dict[str, Values] = {
            **{text[1]: frozenset({text[3]}) for text in _TEXTS.finditer(source)},
            **dict.fromkeys(("__filename", "import.meta.url", "import.meta.filename"), own),
            **dict.fromkeys(("__dirname", "import.meta.dirname"), folder),
        }
        self._variables: set[str] = set()

    def read(self) -> set[NamedPath]:
        """Read until no variable is new: functions use what is declared after them."""
        found: set[NamedPath] = set()
        known: set[str] | None = None
        while known != self._variables and len(self._variables) < _MAX_NAMES:
            known = set(self._variables)
            found = set(self._read_expressions(sorted(known)))
        return found

    def _read_expressions(self, variables: list[str]) -> Iterator[NamedPath]:
        names = "".join(rf"|(?<![\w$.]){re.escape(name)}(?![\w$])" for name in variables)
        end = 0
        for match in re.finditer(_STARTS + names, self._source):
            if match.start() < end:
                continue
            expression = JsExpression(self._names, self._source, match.start())
            if match["load"] or match["start"]:
                expression = JsExpression(self._names, self._source, match.end() - 1)
                given = expression.read_arguments()[:1]
                read = self._read_load if match["load"] else self._read_start
                found = [named for values in given for text in values for named in read(text)]
            else:
                values = expression.read()
                own = [text for text in values if text.startswith(f"{OWN}/")]
                found = [NamedPath(text.removeprefix(OWN), is_module=False) for text in own]
                if own and not self._is_quoted(match.start()):
                    self._define(match.start(), values)
            if found and not self._is_quoted(match.start()):
                end = expression.end
                yield from found

    def _is_quoted(self, position: int) -> bool:
        """Whether a position is in a comment or a string. To list them takes longest, so late."""
        if self._quoted is None:
            self._quoted = list_quoted_spans(self._source)
        return is_inside(self._quoted, position)

    def _define(self, start: int, values: Values) -> None:
        """Remember the variable to which an expression is assigned."""
        match = _DEFINED.search(self._source, max(0, start - _BEFORE), start)
        if match and values != UNKNOWN_VALUE:
            name = match["name"]
            known = self._names.get(name, values) if name in self._variables else values
            self._names[name] = known | values
            self._variables.add(name)

    def _read_load(self, text: str) -> Iterator[NamedPath]:
        """Read the name of a module: from the source's own place, or with a computed part."""
        text = text.removeprefix("file://")
        if text.startswith(f"{OWN}/"):
            yield NamedPath(text.removeprefix(OWN), is_module=True)
        elif UNKNOWN in text and text.startswith(("./", "../")):
            yield NamedPath(posixpath.normpath(f"{self._folder}/{text}"), is_module=True)
        elif UNKNOWN in text.partition("/")[2] and re.match(r"[@\w]", text):
            yield NamedPath(text, is_module=True)

    def _read_start(self, text: str) -> Iterator[NamedPath]:
        """Read the file of a worker or of a process: not from the source's own place."""
        if text.startswith(f"{OWN}/"):
            yield NamedPath(text.removeprefix(OWN), is_module=True)
        elif not text.startswith(("/", UNKNOWN)) and ":" not in text and "\n" not in text:
            for folder in dict.fromkeys((self._cwd, self._folder)):
                yield NamedPath(posixpath.normpath(f"{folder}/{text}"), is_module=True)
