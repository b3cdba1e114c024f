"""The reader of Java runtimes, which does not run them, compared with the JDK's tools."""

from __future__ import annotations

import io
import os
import re
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from jdk import compile_java, java_home

from slimtrace.builder.jlink.class_log import make_log_option, read_log
from slimtrace.builder.jlink.java_home import check_homes
from slimtrace.builder.jlink.jimage import read_jimage
from slimtrace.builder.jlink.required_modules import find_named_modules, find_required_modules
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def test_modules_and_packages() -> None:
    """The modules and packages from ``jimage list``."""
    home = java_home()
    listing = subprocess.run(
        [f"{home}/bin/jimage", "list", f"{home}/lib/modules"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    packages, module = {}, ""
    for line in listing.splitlines():
        if line.startswith("Module: "):
            module = line.removeprefix("Module: ")
        elif (name := line.strip()).endswith(".class") and "/" in name:
            packages[name.rpartition("/")[0]] = module
    jimage = read_jimage(Root("/"), f"{home}/lib/modules")
    assert jimage.packages == packages
    assert len(packages) > 500
    assert jimage.modules == set(re.findall(r"^Module: (\S+)$", listing, re.MULTILINE))


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 28, b"\xda\xda\xfe\xca" + b"\xff" * 99])
def test_no_modules_file(tmp_path: Path, content: bytes) -> None:
    make_root(tmp_path, {"/jdk/lib/modules": content})
    with pytest.raises(SlimtraceError, match=r"^cannot read /jdk/lib/modules: it is not"):
        read_jimage(Root(str(tmp_path)), "/jdk/lib/modules")


SOURCES = {
    "Sql.java": "class Sql { java.sql.Connection open() { return null; } }",
    "Beans.java": "class Beans { Object a = java.beans.Introspector.USE_ALL_BEANINFO; "
    "Object b = new java.beans.PropertyChangeSupport(this); }",
    "Text.java": 'class Text { String name = "java.rmi.Naming javax/naming/Context "; }',
    "module-info.java": "module app { requires java.xml; requires static java.desktop; "
    "requires transitive java.sql; }",
}


def jar(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return made.getvalue()


def test_what_classes_name(tmp_path: Path) -> None:
    """In a file, in a jar, and in a jar inside a jar; broken ones are skipped."""
    classes = compile_java(tmp_path / "classes", SOURCES)
    inner = jar({"Beans.class": classes["Beans.class"], "x.jar": b"PK", "y.class": b"no class"})
    info = {"module-info.class": classes["module-info.class"]}
    make_root(
        tmp_path / "root",
        {
            "/Sql.class": classes["Sql.class"],
            "/boot.jar": jar({"BOOT-INF/lib/inner.jar": inner}),
            "/modular.jar": jar(info),
            "/cut.jar": jar(info)[:-20],
            "/late/Text.class": classes["Text.class"],
            "/bad/module-info.class": classes["module-info.class"][:90],
            "/readme": "java/rmi/Naming",
        },
    )
    root = Root(str(tmp_path / "root"))
    packages = read_jimage(Root("/"), f"{java_home()}/lib/modules").packages

    def listing(of: str, *paths: str) -> list[str]:
        entries = [root.entry(path, ()) for path in paths]
        found = (
            find_required_modules(root, entries)
            if of == "required"
            else find_named_modules(root, entries, packages)
        )
        return sorted(found)

    assert listing("named", "/Sql.class") == ["java.base", "java.sql"]
    assert listing("named", "/boot.jar") == ["java.base", "java.desktop"]
    assert "java.rmi" not in listing(
        "named", "/readme", "/late", "/cut.jar", "/bad/module-info.class"
    )
    assert "java.rmi" not in listing("named", "/late/Text.class"), "a string names no module"
    assert listing("required", "/modular.jar") == ["java.base", "java.sql", "java.xml"]
    assert listing("required", "/cut.jar", "/bad/module-info.class", "/Sql.class") == []
    assert os.path.exists(root.root)


REFUSED: dict[str, tuple[dict[str, str | bytes | None], tuple[str, ...], str]] = {
    "nothing": ({}, (), "no JVM ran in the traced runs"),
    "Java 8": (
        {"/jdk/lib/amd64/server/libjvm.so": ""},
        ("/jdk",),
        "/jdk has no modules: it is of Java 8 or older",
    ),
    "a JRE beside a JDK": (
        {"/jdk/lib/modules": "", "/jdk/bin/jlink": "", "/jre/lib/modules": ""},
        ("/jre", "/jdk"),
        "the full image has no /jre/bin/jlink",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_linked(tmp_path: Path, name: str) -> None:
    tree, homes, cause = REFUSED[name]
    root = Root(str(make_root(tmp_path, tree)))
    with pytest.raises(SlimtraceError, match=f"^cannot link a Java runtime: {cause}$"):
        check_homes(homes, root)


def test_what_a_jvm_logs(tmp_path: Path) -> None:
    """A real log; with and without the class data archive, the modules are the same."""
    home = java_home()
    compile_java(tmp_path, {"Zip.java": ZIP})
    packages = read_jimage(Root("/"), f"{home}/lib/modules").packages
    for sharing in ("auto", "off"):
        logs = tmp_path / sharing
        logs.mkdir()
        argv = (make_log_option(str(logs)), f"-Xshare:{sharing}", "-cp", str(tmp_path), "Zip")
        subprocess.run([f"{home}/bin/java", *argv], check=True)
        (log,) = logs.iterdir()
        loaded = read_log(log.read_text().splitlines())
        assert loaded.home == home
        assert bool(loaded.shared) == (sharing == "auto")
        assert loaded.all_modules(packages) == {"java.base", "jdk.zipfs"}


ZIP = """
class Zip {
    public static void main(String[] args) {
        if (java.nio.file.spi.FileSystemProvider.installedProviders().size() < 2) System.exit(1);
        System.out.print(String.format(java.util.Locale.US, "%tB", new java.util.Date()));
    }
}
"""
"""The run lists the locales, but needs none from jdk.localedata."""
