"""Native halves of Java libraries that the distribution packages.

``System.loadLibrary`` finds them in ``/usr/lib/jni``, by a name that is in a jar's compressed
classes. The package of the jar requires the package of the library (Debian Java policy, "Java
libraries"). Native libraries of an app's own are in its folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Keep, Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_NATIVE = re.compile(
    r"(?:/usr)?/lib(?:64)?(?:/[^/]+-linux-gnu\w*)?/(?:jni|java)/lib[^/]+\.so[\d.]*"
)
"""Where Debian and Fedora have libraries for Java."""


def find_native_halves(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the native libraries of a jar's package, and of those that it requires.

    :raises SlimtraceError: a package database cannot be read.
    """
    if not path.endswith(".jar"):
        return
    index = get_package_index(context.root)
    owner = index.system_owner(path)
    if owner is None:
        return
    names = {owner.name, *owner.requires}
    for package in index.system if index.is_readable else ():
        if package.name in names:
            for file in filter(_NATIVE.fullmatch, package.files):
                yield Need(file, Reason.JAVA_NATIVE, load=True)


RULE = ClosureRule(
    Reason.JAVA_NATIVE,
    find_native_halves,
    "native libraries for Java (/usr/lib/jni) of a jar's package, and of the packages that this "
    "one requires",
    Keep.APP,
)
