"""Reads a JVM's log of loaded classes, from ``-Xlog:class+load,class+path`` (java(1))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HOME = re.compile(r"bootstrap loader class path=(.+?)/lib/modules(?::.*)?")
_CLASS = re.compile(r"(\S+) source: (.+)")
_LOCALES = ("sun.util.resources.provider.", "sun.util.resources.cldr.provider.")
"""Classes by which jdk.localedata, half as large as java.base, lists its locales. Every formatter
loads them, so they do not show that the module is used; a class with a locale's data does.
"""


def make_log_option(folder: str) -> str:
    """The JVM option to write one undecorated, unrotated log per JVM into a folder."""
    return f"-Xlog:class+load,class+path:file={folder}/%p-%t.log:none:filecount=0"


class LoadedClass(NamedTuple):
    """What one JVM loaded.

    :ivar home: its JAVA_HOME as the JVM sees it; None if the log does not name it.
    :ivar modules: modules of which it loaded classes.
    :ivar shared: packages, such as ``java/lang``, whose classes came from the archive for class
        data sharing, which does not name the module.
    """

    home: str | None
    modules: frozenset[str]
    shared: frozenset[str]

    def all_modules(self, packages: Mapping[str, str]) -> frozenset[str]:
        """The modules in :attr:`modules` and of the packages in :attr:`shared`.

        :param packages: the module of each package of this runtime.
        """
        return self.modules | {packages[name] for name in self.shared if name in packages}


def read_log(lines: Iterable[str]) -> LoadedClass:
    """Parse one log."""
    home = None
    modules, shared = set(), set()
    for line in lines:
        if found := _CLASS.match(line):
            name, source = found[1], found[2]
            if name.startswith(_LOCALES):
                continue
            if source.startswith("jrt:/"):
                modules.add(source.removeprefix("jrt:/").partition("/")[0].strip())
            elif source.startswith("shared objects file"):
                shared.add(name.rpartition(".")[0].replace(".", "/"))
        elif home is None and (found := _HOME.match(line)):
            home = found[1]
    return LoadedClass(home, frozenset(modules), frozenset(shared))
