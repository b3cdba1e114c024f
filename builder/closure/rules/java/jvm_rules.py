"""The files that a Java app's files imply, for JDK 8 to 21.

Classes in ``lib/modules`` and in jars imply nothing: these files are kept whole.
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
"""JAVA_HOME (of the JRE in JDK 8), and the directory of its libraries: ``lib/amd64`` in JDK 8."""

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_CLASS_BYTES = 16 << 20

_LIBRARIES_BY_MODULE = {
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
"""Libraries that Java code loads when it first uses a class, by module (``lib/`` in jmods).

All are kept with a JVM: together they are smaller than one jar. The libraries of tools and agents
(jdk.hotspot.agent, jdk.jdwp.agent) are loaded at the start or never.
"""

_DESKTOP_LIBRARIES = "awt awt_headless fontmanager freetype javajpeg lcms mlib_image"
"""The libraries of java.desktop that draw without a display. They need font and image libraries."""

_CONF_FILES = ("net.properties", "logging.properties")


def find_class_path(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the class path in a jar's manifest, and the classes that an unpacked class names."""
    if path.endswith((".jar", ".war")):
        yield from _find_manifest_entries(context, path)
    elif path.endswith(".class") and context.root.kind(path) is Kind.FILE:
        yield from _find_classes(context, path)


def _find_manifest_entries(context: RuleContext, path: str) -> Iterator[Need]:
    """Read the URLs in a jar's manifest (JAR File Specification, "Class-Path attribute").

    They are relative to the directory of the jar. If the JVM opens the jar through a symlink, they
    are relative to the directory of the symlink.
    """
    folder = path.rpartition("/")[0]
    for url in _get_attribute(_read_manifest(context, path), "Class-Path").split():
        entry = unquote(url, errors="surrogateescape").removeprefix("file:")
        if not re.match(r"\w+:", entry):
            target = entry if entry.startswith("/") else f"{folder}/{entry}"
            yield Need(target, Reason.JAVA_CLASS_PATH)


def _find_classes(context: RuleContext, path: str) -> Iterator[Need]:
    """Find classes in the same class path directory: a JVM loads each when it is first used."""
    try:
        own, names = find_named_classes(context.root.head(path, _MAX_CLASS_BYTES))
    except ValueError:
        return
    if path.endswith(f"/{own}.class"):
        top = path.removesuffix(f"{own}.class")
        for name in names:
            yield Need(f"{top}{name}.class", Reason.JAVA_CLASS_PATH)


def find_jvm_libraries(context: RuleContext, path: str) -> Iterator[Need]:
    """Find a JVM's native libraries that its modules load late, and its spawn helper."""
    jvm = JVM.fullmatch(path)
    if jvm is None:
        return
    folder = f"{jvm['home']}/{jvm['lib']}"
    names = " ".join(_LIBRARIES_BY_MODULE.values()).split()
    if any(f"{folder}/lib{name}.so" in context.touched for name in _DESKTOP_LIBRARIES.split()):
        names += _DESKTOP_LIBRARIES.split()
    for name in names:
        yield Need(f"{folder}/lib{name}.so", Reason.JAVA_LIBRARY, load=True)
    yield Need(f"{folder}/jspawnhelper", Reason.JAVA_LIBRARY, load=True, execute=True)


def find_security_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find a JVM's security and network settings, and the certificates that it trusts.

    The JVM reads them for the first security provider or connection. Debian keeps them in /etc.
    """
    jvm = JVM.fullmatch(path)
    if jvm is None:
        return
    for folder in ("lib/security", "conf/security"):
        for file in list_files(context.root, f"{jvm['home']}/{folder}"):
            yield Need(file, Reason.JAVA_SECURITY)
    for name in _CONF_FILES:
        for folder in ("conf", "lib"):
            yield Need(f"{jvm['home']}/{folder}/{name}", Reason.JAVA_SECURITY)


def find_time_zones(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the JVM's own time zones; it does not read the system's."""
    del context
    if (jvm := JVM.fullmatch(path)) is not None:
        for name in ("tzdb.dat", "tzmappings"):
            yield Need(f"{jvm['home']}/lib/{name}", Reason.JAVA_TIME_ZONES)


def _read_manifest(context: RuleContext, path: str) -> str:
    """Read a jar's manifest with continuation lines joined; empty if none can be read."""
    own = context.root.resolve(path)
    if not own.exists or context.root.kind(own.path) is not Kind.FILE:
        return ""
    try:
        with context.root.open(own.path) as file, zipfile.ZipFile(file) as jar:
            names = (name for name in jar.namelist() if name.upper() == "META-INF/MANIFEST.MF")
            with jar.open(next(names)) as manifest:
                content = manifest.read(_MAX_MANIFEST_BYTES)
    except (SlimtraceError, OSError, StopIteration, *BROKEN_JAR):
        return ""
    lines = content.decode("utf-8", "surrogateescape")
    return re.sub(r"(?:\r\n|\r|\n) ", "", lines)


def _get_attribute(manifest: str, name: str) -> str:
    """Get an attribute of the main section, which ends at the first empty line."""
    for line in manifest.splitlines():
        key, _, value = line.partition(":")
        if not line:
            break
        if key.strip().lower() == name.lower():
            return value
    return ""


RULES = (
    ClosureRule(
        Reason.JAVA_CLASS_PATH,
        find_class_path,
        "what a jar's manifest names in Class-Path; outside jars, the classes that a class names",
    ),
    ClosureRule(
        Reason.JAVA_LIBRARY,
        find_jvm_libraries,
        "native libraries that a JVM's modules load late; those of java.desktop only "
        "where the app draws",
    ),
    ClosureRule(
        Reason.JAVA_SECURITY,
        find_security_files,
        "a JVM's security and network settings and its trusted certificates",
    ),
    ClosureRule(
        Reason.JAVA_TIME_ZONES,
        find_time_zones,
        "a JVM's time zones",
    ),
)
