"""Reads the names of other classes in a class file (JVM Specification, chapter 4)."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib

MAGIC = b"\xca\xfe\xba\xbe"
BROKEN_JAR = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError),
)
"""What zipfile raises if a jar is damaged, encrypted or compressed by an unknown method."""

_UTF8, _LONG, _DOUBLE, _CLASS, _STRING, _MODULE = 1, 5, 6, 7, 8, 19
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4}
_SIZES |= {15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
"""Bytes of a constant after its tag (4.4), by tag. A Utf8 constant contains its length."""

_STATIC = 0x0040
"""The flag of ``requires static``: not needed at run time (4.7.25)."""

_DOTTED = re.compile(r"[\w$]+(?:\.[\w$]+)*")


def find_named_classes(content: bytes) -> tuple[str, list[str]]:
    """Find a class's own name and the class names in its constants, as ``java/lang/String``.

    A string that could be a class name counts: ``Class.forName`` takes one.

    :raises ValueError: it is no class file.
    """
    try:
        texts, references, end = _read_constants(content)
        (this,) = struct.unpack_from(">2xH", content, end)
        own = texts[dict(references[_CLASS])[this]]
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError("no class file") from error
    classes = [texts.get(name, "") for _, name in references[_CLASS]]
    strings = [texts.get(name, "") for _, name in references[_STRING]]
    names = [re.sub(r"^\[+L(.*);$", r"\1", name) for name in classes]
    names += [text.replace(".", "/") for text in strings if _DOTTED.fullmatch(text)]
    return own, sorted(set(names) - {own})


def read_required_modules(content: bytes) -> frozenset[str]:
    """Read the modules that ``module-info.class`` requires, without ``requires static`` (4.7.25).

    :raises ValueError: it is no such class.
    """
    try:
        texts, references, end = _read_constants(content)
        names = {index: texts[text] for index, text in references[_MODULE]}
        # It has no interfaces, fields and methods (4.1): only the three fields before their counts.
        at, (attributes,) = end + 14, struct.unpack_from(">12xH", content, end)
        for _ in range(attributes):
            name, size = struct.unpack_from(">HI", content, at)
            if texts[name] == "Module":
                (count,) = struct.unpack_from(">6xH", content, at + 6)
                requires = struct.iter_unpack(">HH2x", content[at + 14 : at + 14 + 6 * count])
                return frozenset(names[name] for name, flags in requires if not flags & _STATIC)
            at += 6 + size
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError("no module-info.class") from error
    raise ValueError("no module-info.class")


def _read_constants(
    content: bytes,
) -> tuple[dict[int, str], dict[int, list[tuple[int, int]]], int]:
    """Read the constant pool.

    :returns: texts by index; by tag, the index of a constant and of its text; the pool's end.
    """
    magic, count = struct.unpack_from(">4s4xH", content)
    if magic != MAGIC:
        raise KeyError(magic)
    texts: dict[int, str] = {}
    references: dict[int, list[tuple[int, int]]] = {_CLASS: [], _STRING: [], _MODULE: []}
    at, index = 10, 1
    while index < count:
        tag = content[at]
        if tag == _UTF8:
            (size,) = struct.unpack_from(">H", content, at + 1)
            texts[index] = content[at + 3 : at + 3 + size].decode("utf-8", "surrogateescape")
            at += 3 + size
        else:
            if tag in references:
                references[tag].append((index, *struct.unpack_from(">H", content, at + 1)))
            at += 1 + _SIZES[tag]
        index += 2 if tag in {_LONG, _DOUBLE} else 1  # these take two indices (4.4.5)
    return texts, references, at
