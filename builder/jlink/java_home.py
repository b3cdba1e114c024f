"""Finds the Java runtimes in a trace and a selection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.java.jvm_rules import JVM
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MODULES = re.compile(r"(.+)/lib/modules")


def find_jvms(trace: Trace, root: Root) -> dict[int, set[str]]:
    """The JAVA_HOMEs of the JVMs of each run, by the run's index in the trace."""
    runs = {image.id: image.run for image in trace.processes}
    found: dict[int, set[str]] = {}
    for path in trace.with_state(State.FILE):
        if path.path.endswith("/libjvm.so"):
            jvm = JVM.fullmatch(root.resolve(path.path).path)
            for number in {runs[each] for each in path.processes if each in runs and jvm}:
                found.setdefault(number, set()).add(jvm["home"] if jvm else "")
    return found


def check_homes(homes: Iterable[str], root: Root) -> list[str]:
    """Check that a runtime can be linked from each of these JAVA_HOMEs, and sort them.

    :raises SlimtraceError: there are none, or one has no modules or no jlink.
    """
    homes = sorted(homes)
    if not homes:
        raise SlimtraceError(
            "cannot link a Java runtime: no JVM ran in the traced runs", "build without --jlink"
        )
    for home in homes:
        if not root.resolve(f"{home}/lib/modules").exists:
            raise SlimtraceError(
                f"cannot link a Java runtime: {home} has no modules: it is of Java 8 or older",
                "build without --jlink",
            )
        if not root.resolve(f"{home}/bin/jlink").exists:
            raise SlimtraceError(
                f"cannot link a Java runtime: the full image has no {home}/bin/jlink",
                "install the JDK there, such as Debian's default-jdk-headless, and trace again: "
                "only the linked runtime goes into the slim image",
            )
    return homes


def parse_home(path: str) -> str | None:
    """The JAVA_HOME that a file ``lib/modules`` belongs to; None for another file."""
    found = _MODULES.fullmatch(path)
    return found[1] if found else None
