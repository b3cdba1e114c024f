"""What a JVM says of the classes that it loads, with ``-Xlog:class+load,class+path`` (java(1))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HOME = re.compile(r"bootstrap loader class path=(.+?)/lib/modules(?::.*)?")
_CLASS = re.compile(r"(\S+) source: (.+)")
_LOCALES = ("sun.util.resources.provider.", "sun.util.resources.cldr.provider.")
"""Where jdk.localedata, half as large as java.base, says which locales it has: whatever is
formatted asks for that. Only a class with a locale's data tells that it is used.
"""


def make_log_option(folder: str) -> str:
    """What has every JVM write a log of its own into a folder, without decorations, never cut."""
    return f"-Xlog:class+load,class+path:file={folder}/%p-%t.log:none:filecount=0"


class LoadedClass(NamedTuple):
    """What one JVM loaded.

    :ivar home: its JAVA_HOME as it sees it; None where it did not say.
    :ivar modules: of whose classes it read some; ``shared`` packages, as ``java/lang``, whose
        classes came from its archive (class data sharing), which does not name the module.
    """

    home: str | None
    modules: frozenset[str]
    shared: frozenset[str]

    def all_modules(self, packages: Mapping[str, str]) -> frozenset[str]:
        """The modules of both.

        :param packages: the module of each package of this runtime.
        """
        return self.modules | {packages[name] for name in self.shared if name in packages}


def read_log(lines: Iterable[str]) -> LoadedClass:
    """The lines of one log."""
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
