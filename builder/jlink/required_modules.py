"""Finds the modules of the Java runtime that an app's own classes name."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.java.classfile import BROKEN_JAR, read_required_modules
from slimtrace.builder.model import Kind
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.model import Entry
    from slimtrace.builder.root.root import Root

_JARS = (".jar", ".war", ".ear")
_MAX_CLASS_BYTES = 64 << 20
"""Of one class, or of a jar inside a jar."""


def find_required_modules(root: Root, entries: Iterable[Entry]) -> frozenset[str]:
    """The modules in ``requires`` of modular jars, without those in ``requires static``."""
    found: set[str] = set()
    for name, content in _read_classes(root, entries):
        if name.endswith("module-info.class"):
            try:
                found |= read_required_modules(content)
            except ValueError:
                continue
    return frozenset(found)


def find_named_modules(
    root: Root, entries: Iterable[Entry], packages: Mapping[str, str]
) -> frozenset[str]:
    """The modules of the packages that classes name in code (``java/sql``), not in strings.

    :param packages: the module of each package, such as ``java/sql``.
    """
    tops = sorted({name.partition("/")[0] for name in packages})
    if not tops:
        return frozenset()
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, tops))})/(?:[\w-]+/)*".encode())
    found: set[bytes] = set()
    for _, content in _read_classes(root, entries):
        found.update(pattern.findall(content))
    names = (name.decode().rstrip("/") for name in found)
    return frozenset(packages[name] for name in names if name in packages)


def _read_classes(root: Root, entries: Iterable[Entry]) -> Iterator[tuple[str, bytes]]:
    """The name and bytes of each class in files, in jars, and in jars inside jars."""
    for entry in entries:
        if entry.kind is not Kind.FILE or entry.content is not None:
            continue
        if entry.path.endswith(".class"):
            yield entry.path, root.head(entry.path, _MAX_CLASS_BYTES)
        elif entry.path.endswith(_JARS):
            try:
                with root.open(entry.path) as file, zipfile.ZipFile(file) as jar:
                    yield from _read_jar(jar, inner=True)
            except (SlimtraceError, OSError, struct.error, *BROKEN_JAR):
                continue


def _read_jar(jar: zipfile.ZipFile, *, inner: bool) -> Iterator[tuple[str, bytes]]:
    for item in jar.infolist():
        is_class = item.filename.endswith(".class")
        if item.file_size > _MAX_CLASS_BYTES or not (is_class or item.filename.endswith(_JARS)):
            continue
        try:
            content = jar.read(item)
            if is_class:
                yield item.filename, content
            elif inner:
                with zipfile.ZipFile(io.BytesIO(content)) as below:
                    yield from _read_jar(below, inner=False)
        except BROKEN_JAR:
            continue
