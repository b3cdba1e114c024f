"""Makes a small value that fits a schema of an OpenAPI document, always the same one.

Examples, defaults and constants of the document come first: its authors know what the app takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_DEPTH = 12
"""How deep values are nested: a schema may contain itself."""
_MAX_VALUES = 200_000
"""Of one document."""
_MAX_LENGTH = 1000
"""Of a text or list that the schema wants longer than it needs to be."""
_BY_FORMAT = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "/",
    "uuid": "5f0c1d4e-6a0b-4c56-9f0d-1b2a3c4d5e6f",
    "byte": "c2FtcGxl",
    "password": "Passw0rd!sample",
}


@dataclass(slots=True)
class SampleMaker:
    """Makes values for the schemas of one document."""

    document: Mapping[str, Any]
    _made: int = 0

    def resolve(self, value: Any) -> Any:
        """Follow ``$ref`` within the document; None if it leads nowhere."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                return value
            value = self._find(value["$ref"])
        return None

    def make_parameter(self, parameter: Mapping[str, Any]) -> Any:
        """The value of a parameter; in version 2 it is its own schema."""
        if (found := self._find_example(parameter)) is not None:
            return found
        content = parameter.get("content")
        if isinstance(content, dict) and content:
            return self.make_content(next(iter(content.values())))
        return self.make(parameter.get("schema", parameter))

    def make_content(self, media: Any) -> Any:
        """The value of a body of one media type."""
        if not isinstance(media, dict):
            return {}
        found = self._find_example(media)
        return self.make(media.get("schema")) if found is None else found

    def make(self, schema: Any, depth: int = 0) -> Any:
        """A value that fits a schema.

        :raises ValueError: the document has too many.
        """
        schema = self.resolve(schema)
        self._made += 1
        if self._made > _MAX_VALUES:
            raise ValueError("its schemas are nested too deeply")
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return None if depth > _MAX_DEPTH else "sample"
        for key in ("example", "default", "const"):
            if schema.get(key) is not None:
                return schema[key]
        for key in ("examples", "enum"):
            values = schema.get(key)
            if isinstance(values, list) and values:
                return values[0]
        if isinstance(parts := schema.get("allOf"), list):
            return self._join(parts, schema, depth)
        for key in ("oneOf", "anyOf"):
            if isinstance(choices := schema.get(key), list) and choices:
                return self.make(self._choose(choices), depth + 1)
        return self._make_typed(schema, depth)

    def _make_typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind is None:
            kind = (
                "object" if "properties" in schema else "array" if "items" in schema else "string"
            )
        match kind:
            case "object":
                return self._make_object(schema, depth)
            case "array":
                count = min(max(_number(schema.get("minItems"), 1), 1), _MAX_LENGTH)
                return [self.make(schema.get("items", {}), depth + 1)] * int(count)
            case "integer" | "number":
                return _make_number(schema, is_whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return _make_text(schema)

    def _make_object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """All that is required, and of the rest what is not nested deeply."""
        properties, required = schema.get("properties"), schema.get("required")
        names = required if isinstance(required, list) else ()
        made = {}
        for name, each in properties.items() if isinstance(properties, dict) else ():
            found = self.resolve(each)
            is_written = not (isinstance(found, dict) and found.get("readOnly"))
            if name in names or (depth < 2 and is_written):
                made[str(name)] = self.make(found, depth + 1)
        return made

    def _join(self, parts: list[Any], schema: Mapping[str, Any], depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        values = [self.make(part, depth + 1) for part in parts]
        if "properties" in rest:
            values.append(self._make_object(rest, depth))
        objects = [value for value in values if isinstance(value, dict)]
        if objects:
            return {name: each for value in objects for name, each in value.items()}
        return values[0] if values else "sample"

    def _choose(self, choices: list[Any]) -> Any:
        """The first choice that is more than null."""
        for each in choices:
            found = self.resolve(each)
            if isinstance(found, dict) and found.get("type") != "null":
                return found
        return choices[0]

    def _find_example(self, found: Mapping[str, Any]) -> Any:
        if found.get("example") is not None:
            return found["example"]
        examples = found.get("examples")
        if isinstance(examples, dict):
            for each in examples.values():
                example = self.resolve(each)
                if isinstance(example, dict) and "value" in example:
                    return example["value"]
        if isinstance(examples, list) and examples:
            return examples[0]
        return None

    def _find(self, reference: str) -> Any:
        """What a JSON pointer leads to (RFC 6901)."""
        value: Any = self.document
        if not reference.startswith("#/"):
            return None
        for part in reference[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        return value


def _number(value: Any, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else default


def _make_number(schema: Mapping[str, Any], *, is_whole: bool) -> float:
    """A number as near to 1 as the schema allows."""
    low = _number(schema.get("minimum"), _number(schema.get("exclusiveMinimum"), -math.inf))
    high = _number(schema.get("maximum"), _number(schema.get("exclusiveMaximum"), math.inf))
    step = _number(schema.get("multipleOf"), 0)
    value = min(max(1, low), high)
    is_open = schema.get("exclusiveMinimum") not in (None, False) and value == low
    if step > 0:
        value = -(-value // step) * step
    elif is_open:
        value = value + 1 if is_whole or value + 1 < high else (value + high) / 2
    return int(value) if is_whole else value


def _make_text(schema: Mapping[str, Any]) -> str:
    text = _BY_FORMAT.get(str(schema.get("format")), "sample")
    shortest = min(int(_number(schema.get("minLength"), 0)), _MAX_LENGTH)
    longest = int(_number(schema.get("maxLength"), _MAX_LENGTH))
    if len(text) < shortest:
        text += "x" * (shortest - len(text))
    return text[: max(longest, 0)]
