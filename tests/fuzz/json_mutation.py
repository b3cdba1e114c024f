"""Mutations of JSON that keep it valid, to test the reader of the values, not the JSON parser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 1.5, 1e308, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(
        "",
        "x",
        ".",
        "..",
        "../..",
        "/",
        "//",
        "/..",
        "a\0b",
        "é",
        "/a/b",
        "-",
        "0",
        "1:2",
        "9" * 5000,
    ),
    *("linux", "arm", "v8", "sha256:" + "0" * 64, "L27//nQ=", "AA==", "file", "exec", "x" * 300),
    *([], {}, [None], [[]], {"": None}, ["x"], [1, 2, 3, 4, 5], {"x": "y"}),
)


def mutate(text: bytes, rng: random.Random) -> bytes:
    """Replace, remove, copy or move one value; other input is returned unchanged."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    places = _list_places(found) if isinstance(found, dict | list) else []
    if not places:
        return text
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            other, there = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[there]))
        case 2 if isinstance(holder, dict):
            _, name = rng.choice(places)
            holder[str(name)] = holder.pop(key)
        case 3 if isinstance(holder, list):
            holder.append(json.loads(json.dumps(holder[key])))
        case 4 if isinstance(holder, list):
            holder.append(json.loads(json.dumps(rng.choice(_VALUES))))
        case 5 if type(holder[key]) is int:
            holder[key] += rng.choice((-1, 1, 7, 512, 2**32))
        case _:
            holder[key] = json.loads(json.dumps(rng.choice(_VALUES)))
    try:
        return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # a lone surrogate
        return text


def _list_places(value: Any) -> list[tuple[Any, Any]]:
    """Return every list or object with each of its indexes or keys."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        each = pending.pop()
        inner = each.items() if isinstance(each, dict) else enumerate(each)
        for key, child in inner:
            found.append((each, key))
            if isinstance(child, dict | list):
                pending.append(child)
    return found
