"""What the files of a Java app imply, for JDK 8 to 21.

Classes in ``lib/modules`` and in jars need nothing: those come whole.
"""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import unquote

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.java.classfile import BROKEN_JAR, find_named_classes
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.walk import list_files
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

JVM = re.compile(r"(?P<home>.*)/(?P<lib>lib(?:/\w+)?)/(?:server|client|minimal|zero)/libjvm\.so")
"""JAVA_HOME (of the JRE in JDK 8), and where its libraries lie: ``lib/amd64`` in JDK 8."""

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_CLASS_BYTES = 16 << 20

_MODULES = {
    "java.base": "jimage java jli jsig net nio syslookup verify zip",
    "java.instrument": "instrument",
    "java.management": "management",
    "java.prefs": "prefs",
    "java.rmi": "rmi",
    "java.security.jgss": "j2gss",
    "java.smartcardio": "j2pcsc",
    "jdk.attach": "attach",
    "jdk.crypto.cryptoki": "j2pkcs11",
    "jdk.crypto.ec": "sunec",
    "jdk.incubator.foreign": "syslookup",
    "jdk.management": "management_ext",
    "jdk.management.agent": "management_agent",
    "jdk.net": "extnet",
    "jdk.sctp": "sctp",
    "jdk.security.auth": "jaas jaas_unix",
}
"""Libraries that Java code loads at its first use of a class, by module (``lib/`` in jmods).

All come with a JVM: together they are smaller than one jar. A tool's and an agent's
(jdk.hotspot.agent, jdk.jdwp.agent) are loaded at the start or not at all.
"""

_DESKTOP = "awt awt_headless fontmanager freetype javajpeg lcms mlib_image"
"""Of java.desktop, what draws without a display; these pull in font and image libraries."""

_CONF = ("net.properties", "logging.properties")


def find_class_path(context: RuleContext, path: str) -> Iterator[Need]:
    """What a jar's manifest puts on the class path, and what a class beside jars names there."""
    if path.endswith((".jar", ".war")):
        yield from _of_jar(context, path)
    elif path.endswith(".class") and context.root.kind(path) is Kind.FILE:
        yield from _of_class(context, path)


def _of_jar(context: RuleContext, path: str) -> Iterator[Need]:
    """URLs, relative to where the jar lies (JAR File Specification, "Class-Path attribute").

    A symlink to a jar stands for itself: the URL is that which the JVM was given.
    """
    folder = path.rpartition("/")[0]
    for url in _attribute(_manifest(context, path), "Class-Path").split():
        entry = unquote(url, errors="surrogateescape").removeprefix("file:")
        if not re.match(r"\w+:", entry):
            place = entry if entry.startswith("/") else f"{folder}/{entry}"
            yield Need(place, Reason.JAVA_CLASS_PATH)


def _of_class(context: RuleContext, path: str) -> Iterator[Need]:
    """Classes in the same folder of the class path: a JVM loads each when it is first used."""
    try:
        own, names = find_named_classes(context.root.head(path, _MAX_CLASS_BYTES))
    except ValueError:
        return
    if path.endswith(f"/{own}.class"):
        top = path.removesuffix(f"{own}.class")
        for name in names:
            yield Need(f"{top}{name}.class", Reason.JAVA_CLASS_PATH)


def find_jvm_libraries(context: RuleContext, path: str) -> Iterator[Need]:
    """The native libraries beside a JVM that its modules load late, and its spawn helper."""
    jvm = JVM.fullmatch(path)
    if jvm is None:
        return
    folder = f"{jvm['home']}/{jvm['lib']}"
    names = " ".join(_MODULES.values()).split()
    if any(f"{folder}/lib{name}.so" in context.touched for name in _DESKTOP.split()):
        names += _DESKTOP.split()
    for name in names:
        yield Need(f"{folder}/lib{name}.so", Reason.JAVA_LIBRARY, load=True)
    yield Need(f"{folder}/jspawnhelper", Reason.JAVA_LIBRARY, load=True, execute=True)


def find_security_files(context: RuleContext, path: str) -> Iterator[Need]:
    """A JVM's security and network settings, and the certificates that it trusts.

    They are read when the first provider or connection is asked for. Debian keeps them in /etc.
    """
    jvm = JVM.fullmatch(path)
    if jvm is None:
        return
    for folder in ("lib/security", "conf/security"):
        for file in list_files(context.root, f"{jvm['home']}/{folder}"):
            yield Need(file, Reason.JAVA_SECURITY)
    for name in _CONF:
        for folder in ("conf", "lib"):
            yield Need(f"{jvm['home']}/{folder}/{name}", Reason.JAVA_SECURITY)


def find_time_zones(context: RuleContext, path: str) -> Iterator[Need]:
    """The JVM's own time zones; it does not read the system's."""
    del context
    if (jvm := JVM.fullmatch(path)) is not None:
        for name in ("tzdb.dat", "tzmappings"):
            yield Need(f"{jvm['home']}/lib/{name}", Reason.JAVA_TIME_ZONES)


def _manifest(context: RuleContext, path: str) -> str:
    """A jar's manifest, continuation lines joined; empty where it has none or is broken."""
    found = context.root.resolve(path)
    if not found.exists or context.root.kind(found.path) is not Kind.FILE:
        return ""
    try:
        with context.root.open(found.path) as file, zipfile.ZipFile(file) as jar:
            names = (name for name in jar.namelist() if name.upper() == "META-INF/MANIFEST.MF")
            with jar.open(next(names)) as manifest:
                content = manifest.read(_MAX_MANIFEST_BYTES)
    except (SlimtraceError, OSError, StopIteration, *BROKEN_JAR):
        return ""
    lines = content.decode("utf-8", "surrogateescape")
    return re.sub(r"(?:\r\n|\r|\n) ", "", lines)


def _attribute(manifest: str, name: str) -> str:
    """An attribute of the main section, which ends at the first empty line."""
    for line in manifest.splitlines():
        key, _, value = line.partition(":")
        if not line:
            break
        if key.strip().lower() == name.lower():
            return value
    return ""


RULES = (
    ClosureRule(Reason.JAVA_CLASS_PATH, find_class_path),
    ClosureRule(Reason.JAVA_LIBRARY, find_jvm_libraries),
    ClosureRule(Reason.JAVA_SECURITY, find_security_files),
    ClosureRule(Reason.JAVA_TIME_ZONES, find_time_zones),
)
