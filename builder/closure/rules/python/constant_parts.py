"""Names that a source puts together, of which a part is constant.

``f"pkg.backends.{name}"``, ``"pkg._%s" % name``, ``os.path.join(HERE, "themes", name)``,
``BASE_DIR / "locale"``. A part that is computed becomes :data:`UNKNOWN`.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

UNKNOWN = "\0"
"""Stands for a computed part."""
OWN_FILE = "\1"
"""Stands for ``__file__``, in a path."""
PACKAGE = "\2"
"""Surrounds the name of the package whose folder a path begins with."""
OWN_NAME = "\3"
"""Stands for ``__name__`` and ``__package__``."""

_MAX_VALUES = 12
"""How many values of one expression are followed."""
_MAX_DEPTH = 10
_MAX_STEPS = 4000
"""How many expressions are followed in one source: variables can refer to each other in circles."""
_FIELD = re.compile(r"%(?:\(\w*\))?[-+# 0-9.*]*[a-zA-Z]|%%")
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
_SAME = frozenset(
    {"abspath", "realpath", "normpath", "fspath", "str", "expanduser"}
    | {"resolve", "absolute", "as_posix", "__str__", "__fspath__"}
)
"""Calls that return the name that they get."""
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "PurePosixPath"})
_LOOKUPS = frozenset({"get", "getenv", "getattr", "pop", "setdefault", "environ"})
"""Calls that return one of their arguments if they find nothing."""
_RESOURCES = frozenset(
    {"get_data", "resource_filename", "resource_string", "resource_stream", "open_text"}
    | {"read_text", "open_binary", "read_binary", "PackageLoader", "resource_listdir"}
)
"""Calls with the name of a package, and a path below its folder."""


class ConstantParts:
    """The values that expressions of one source can have."""

    def __init__(self) -> None:
        self._values: defaultdict[str, list[ast.expr]] = defaultdict(list)
        self._returns: defaultdict[str, list[ast.expr]] = defaultdict(list)
        self._active: set[str] = set()
        self._steps = 0
        self._expansions: dict[type[ast.AST], Callable[[Any, int], Iterable[str]]] = {
            ast.Constant: self._expand_constant,
            ast.JoinedStr: self._expand_text,
            ast.FormattedValue: self._expand_value,
            ast.NamedExpr: self._expand_value,
            ast.BinOp: self._expand_operation,
            ast.IfExp: self._expand_choice,
            ast.BoolOp: self._expand_choice,
            ast.Subscript: self._expand_subscript,
            ast.Attribute: self._expand_attribute,
            ast.Name: self._expand_name,
            ast.Call: self._expand_call,
        }

    def add(self, node: ast.AST, function: str) -> None:
        """Add what a statement says of variables.

        :param function: the name of the function that contains it; "" if there is none.
        """
        if isinstance(node, ast.Assign):
            for target in node.targets:
                name = getattr(target, "id", None) or getattr(target, "attr", None)
                if name:
                    self._values[name].append(node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            name = getattr(node.target, "id", None) or getattr(node.target, "attr", None)
            if name:
                self._values[name].append(node.value)
        elif isinstance(node, ast.Return) and node.value is not None and function:
            self._returns[function].append(node.value)

    def expand(self, node: ast.AST, depth: int = 0) -> list[str]:
        """List the values of an expression."""
        self._steps += 1
        if depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            return [UNKNOWN]
        expand = self._expansions.get(type(node))
        values = expand(node, depth + 1) if expand else ()
        return [*dict.fromkeys(itertools.islice(values, _MAX_VALUES))] or [UNKNOWN]

    def _expand_constant(self, node: ast.Constant, depth: int) -> Iterator[str]:  # noqa: ARG002
        if isinstance(node.value, str):
            yield node.value

    def _expand_text(self, node: ast.JoinedStr, depth: int) -> Iterator[str]:
        return self._join(node.values, "", depth)

    def _expand_value(self, node: ast.FormattedValue | ast.NamedExpr, depth: int) -> Iterable[str]:
        return self.expand(node.value, depth)

    def _expand_operation(self, node: ast.BinOp, depth: int) -> Iterator[str]:
        if isinstance(node.op, ast.Mod):
            given = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            yield from self._fill(node.left, given, _FIELD, depth)
        elif isinstance(node.op, ast.Add | ast.Div):
            between = "" if isinstance(node.op, ast.Add) else "/"
            yield from self._join([node.left, node.right], between, depth)

    def _expand_choice(self, node: ast.IfExp | ast.BoolOp, depth: int) -> Iterator[str]:
        choices = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        for each in choices:
            yield from self.expand(each, depth)

    def _expand_subscript(self, node: ast.Subscript, depth: int) -> Iterator[str]:
        match node:
            case ast.Subscript(
                value=ast.Attribute(value=value, attr="parents"), slice=ast.Constant(value=int(up))
            ) if 0 <= up < _MAX_DEPTH:
                yield from (each + "/.." * (up + 1) for each in self.expand(value, depth))

    def _expand_attribute(self, node: ast.Attribute, depth: int) -> Iterator[str]:
        if node.attr == "parent":
            yield from (f"{each}/.." for each in self.expand(node.value, depth))
        elif isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
            yield from self._expand_all(node.attr, self._values.get(node.attr, []), depth)

    def _expand_name(self, node: ast.Name, depth: int) -> Iterable[str]:
        if node.id in _OWN:
            return [_OWN[node.id]]
        return self._expand_all(node.id, self._values.get(node.id, []), depth)

    def _expand_all(self, name: str, values: Sequence[ast.expr], depth: int) -> list[str]:
        """List the values of a variable or function, if it is not being looked at already."""
        if name in self._active:
            return [UNKNOWN]
        self._active.add(name)
        found = [each for value in values[:_MAX_VALUES] for each in self.expand(value, depth)]
        self._active.remove(name)
        return found

    def _expand_call(self, node: ast.Call, depth: int) -> Iterable[str]:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        name, given = get_function_name(node), node.args
        if name == "join" and isinstance(owner, ast.Constant):
            parts = given[0].elts if given and isinstance(given[0], ast.List | ast.Tuple) else []
            found: Iterable[str] = self._join(parts, str(owner.value), depth) if parts else ()
        elif name == "format" and owner is not None:
            found = self._fill(owner, given, _BRACES, depth)
        elif name in _SAME:
            found = self.expand(given[0] if given else owner or node, depth)
        elif name in _LOOKUPS:
            defaults = (each for value in given[1:] for each in self.expand(value, depth))
            found = [UNKNOWN, *defaults]
        else:
            found = [*self._expand_path_call(name, owner, given, depth)]
        return found or self._expand_all(f"{name}()", self._returns.get(name, []), depth)

    def _expand_path_call(
        self, name: str, owner: ast.AST | None, given: Sequence[ast.AST], depth: int
    ) -> Iterator[str]:
        if name in _PATHS or (name == "join" and owner is not None and _is_path_module(owner)):
            yield from self._join(given, "/", depth)
        elif name == "joinpath" and owner is not None:
            yield from self._join([owner, *given], "/", depth)
        elif name == "dirname":
            yield from (f"{each}/.." for each in self._join(given[:1], "", depth))
        elif name == "files":
            packages = self.expand(given[0], depth) if given else [OWN_NAME]
            yield from map(name_package_folder, packages)
        elif name in _RESOURCES and len(given) > 1:
            for folder in map(name_package_folder, self.expand(given[0], depth)):
                yield from (f"{folder}/{each}" for each in self.expand(given[1], depth))

    def _join(self, parts: Iterable[ast.AST], between: str, depth: int) -> Iterator[str]:
        values = [self.expand(part, depth) for part in parts]
        for each in itertools.islice(itertools.product(*values), _MAX_VALUES):
            last = max((at for at, part in enumerate(each) if part.startswith("/")), default=0)
            yield between.join(each[last:] if between == "/" else each)

    def _fill(
        self, template: ast.AST, given: Sequence[ast.AST], field: re.Pattern[str], depth: int
    ) -> Iterator[str]:
        """Fill the fields of a template; with what is given, if that is in their order."""
        for text in self.expand(template, depth):
            fields = [each for each in field.findall(text) if each not in _ESCAPES]
            in_order = len(fields) == len(given) and all(each in {"%s", "{}"} for each in fields)
            values = [self.expand(each, depth)[0] for each in given] if in_order else []
            rest = iter(values)
            pieces = re.split(f"({field.pattern})", text)
            pieces[1::2] = [_ESCAPES.get(each) or next(rest, UNKNOWN) for each in pieces[1::2]]
            yield "".join(pieces)


_OWN = {"__file__": OWN_FILE, "__name__": OWN_NAME, "__package__": OWN_NAME}
_ESCAPES = {"%%": "%", "{{": "{", "}}": "}"}


def name_package_folder(package: str) -> str:
    """Name the folder of a package, as the beginning of a path."""
    return f"{PACKAGE}{package}{PACKAGE}"


def get_function_name(node: ast.Call) -> str:
    """Get the last part of the name of a called function."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return str(name)


def _is_path_module(owner: ast.AST) -> bool:
    """Whether it is ``os.path`` or what modules call it."""
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return name in {"path", "posixpath", "osp", "op", "os_path", "ospath"}
