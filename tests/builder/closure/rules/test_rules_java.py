"""The files that a Java app implies: in generated trees, and in untaken branches of a real app."""

from __future__ import annotations

import io
import subprocess
import zipfile
from posixpath import normpath
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules.app import own_folder
from slimtrace.builder.closure.rules.java import jvm_rules, native_halves
from slimtrace.builder.closure.rules.java.classfile import MAGIC, find_named_classes

if TYPE_CHECKING:
    from pathlib import Path

HOME = "/usr/lib/jvm/java-17"
JVM = f"{HOME}/lib/server/libjvm.so"


def jar(*manifest: str, name: str = "META-INF/MANIFEST.MF") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr(name, "\r\n".join(["Manifest-Version: 1.0", *manifest, ""]))
    return made.getvalue()


JARS: dict[str, tuple[bytes, list[str]]] = {
    "two, and a folder": (
        jar("Class-Path: a.jar sub/b.jar classes/"),
        ["a.jar", "classes", "sub/b.jar"],
    ),
    "above": (jar("Class-Path: ../c.jar"), ["../c.jar"]),
    "an absolute URL": (jar("Class-Path: file:/opt/c.jar"), ["../c.jar"]),
    "escaped": (jar("Class-Path: with%20space.jar"), ["with space.jar"]),
    "folded": (jar("Class-Path: a.j", " ar su", " b/b.jar"), ["a.jar", "sub/b.jar"]),
    "another case": (jar("class-path: a.jar", name="meta-inf/manifest.mf"), ["a.jar"]),
    "of the web": (jar("Class-Path: https://example.org/a.jar"), []),
    "of a section": (jar("", "Name: x", "Class-Path: a.jar"), []),
    "not there": (jar("Class-Path: gone.jar"), []),
    "no manifest": (jar(name="x"), []),
    "broken": (b"PK\3\4 no zip", []),
    "cut off": (jar("Class-Path: a.jar")[:-30], []),
}


@pytest.mark.parametrize("name", JARS)
def test_class_path(tmp_path: Path, name: str) -> None:
    content, brought = JARS[name]
    names = ("a.jar", "sub/b.jar", "with space.jar", "../c.jar", "unused.jar")
    tree: dict[str, str | bytes | None] = {f"/opt/app/{name}": "" for name in names}
    make_root(tmp_path, {**tree, "/opt/app/app.jar": content, "/opt/app/classes": None})
    found = list_added_paths(tmp_path, ["/opt/app/app.jar"], jvm_rules.RULES)
    assert found == {normpath(f"/opt/app/{name}"): "java-class-path" for name in brought}


def test_a_jars_urls_are_relative_to_the_name_it_was_opened_by(tmp_path: Path) -> None:
    tree: dict[str, str | bytes | None] = {
        "/opt/tool/tool.jar": "-> ../../usr/share/java/tool-1.0.jar",
        "/opt/tool/part.jar": jar("Class-Path: more.jar"),
        "/opt/tool/more.jar": "",
        "/usr/share/java/tool-1.0.jar": jar("Class-Path: part.jar"),
    }
    make_root(tmp_path, tree)
    assert list_added_paths(tmp_path, ["/opt/tool/tool.jar"], jvm_rules.RULES) == {
        "/opt/tool/part.jar": "java-class-path",
        "/opt/tool/more.jar": "java-class-path",
    }


def test_a_jvm(tmp_path: Path) -> None:
    tree = {
        JVM: "",
        f"{HOME}/lib/libnet.so": "",
        f"{HOME}/lib/libprefs.so": "",
        f"{HOME}/lib/libawt.so": "",
        f"{HOME}/lib/libjdwp.so": "",
        f"{HOME}/lib/jspawnhelper": "",
        f"{HOME}/lib/tzdb.dat": "",
        f"{HOME}/lib/ct.sym": "",
        f"{HOME}/lib/security/cacerts": "-> /etc/ssl/certs/java/cacerts",
        f"{HOME}/conf/security/java.security": "-> /etc/java/java.security",
        f"{HOME}/conf/security/policy/unlimited/default.policy": "",
        f"{HOME}/conf/net.properties": "",
        f"{HOME}/conf/sound.properties": "",
        "/etc/ssl/certs/java/cacerts": "",
        "/etc/java/java.security": "",
        "/etc/java/unused": "",
    }
    make_root(tmp_path, tree)
    assert list_added_paths(tmp_path, [JVM], jvm_rules.RULES) == {
        f"{HOME}/lib/libnet.so": "java-library",
        f"{HOME}/lib/libprefs.so": "java-library",
        f"{HOME}/lib/jspawnhelper": "java-library",
        f"{HOME}/lib/tzdb.dat": "java-time-zones",
        f"{HOME}/lib/security/cacerts": "symlink",
        f"{HOME}/conf/security/java.security": "symlink",
        f"{HOME}/conf/security/policy/unlimited/default.policy": "java-security",
        f"{HOME}/conf/net.properties": "java-security",
        "/etc/ssl/certs/java/cacerts": "java-security",
        "/etc/java/java.security": "java-security",
    }


def test_a_jvm_that_draws(tmp_path: Path) -> None:
    names = ("awt", "awt_headless", "awt_xawt", "fontmanager", "jsound")
    make_root(tmp_path, {JVM: "", **{f"{HOME}/lib/lib{name}.so": "" for name in names}})
    assert list_added_paths(tmp_path, [JVM, f"{HOME}/lib/libawt.so"], jvm_rules.RULES) == {
        f"{HOME}/lib/libawt_headless.so": "java-library",
        f"{HOME}/lib/libfontmanager.so": "java-library",
    }


def test_the_jre_of_jdk_8(tmp_path: Path) -> None:
    home = "/opt/jdk8/jre"
    jvm = f"{home}/lib/amd64/server/libjvm.so"
    names = ("lib/amd64/libnet.so", "lib/security/cacerts", "lib/tzdb.dat", "lib/net.properties")
    make_root(tmp_path, {jvm: "", **{f"{home}/{name}": "" for name in names}})
    assert list_added_paths(tmp_path, [jvm], jvm_rules.RULES) == {
        f"{home}/lib/amd64/libnet.so": "java-library",
        f"{home}/lib/security/cacerts": "java-security",
        f"{home}/lib/net.properties": "java-security",
        f"{home}/lib/tzdb.dat": "java-time-zones",
    }


APP = """
public class App {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "zone" -> System.out.println(java.time.ZoneId.of("Europe/Berlin"));
            case "tls" -> {
                var store = javax.net.ssl.TrustManagerFactory.getInstance("PKIX");
                store.init((java.security.KeyStore) null);
                var manager = (javax.net.ssl.X509TrustManager) store.getTrustManagers()[0];
                System.out.println(manager.getAcceptedIssuers().length > 0);
            }
            case "net" -> new java.net.ServerSocket(0).close();
            case "exec" -> new ProcessBuilder("/proc/self/exe", "-version").start().waitFor();
            case "prefs" -> java.util.prefs.Preferences.userRoot();
            case "management" ->
                java.lang.management.ManagementFactory.getRuntimeMXBean().getUptime();
            case "late" -> Class.forName("Late").getMethod("say").invoke(null);
        }
        System.out.println(args[0] + " done");
    }
}
"""
LATE = 'public class Late { public static void say() { System.out.println("late"); } }'
BRANCHES = ("none", "zone", "tls", "net", "exec", "prefs", "management", "late")


def test_branches_that_the_run_did_not_take(tmp_path: Path) -> None:
    need("java", "javac", "jar")
    app_jar(tmp_path)
    app = ("java", "-jar", "app.jar")
    images = build_images(tmp_path, (*app, "none"))
    outputs = {
        keep: {word: image.read_last_line(*app, word) for word in BRANCHES}
        for keep, image in images.items()
    }
    assert outputs["closure"] == {word: f"{word} done" for word in BRANCHES}
    works = [word for word in BRANCHES if outputs["touched"][word] == f"{word} done"]
    assert works == ["none"]


def test_classes_beside_jars(tmp_path: Path) -> None:
    """The classes that a class names, in its folder of the class path, and so on."""
    need("javac")
    sources = {
        "app/App": "package app; class App { long l = 1L << 40; void a() { new more.Other(); } }",
        "more/Other": """package more; public class Other {
            Object made() throws Exception { return Class.forName("more.Named"); }
            Object array() { return new Arrayed[0][0]; }
            enum Inner { ONE }
        }""",
        "more/Named": "package more; class Named {}",
        "more/Arrayed": "package more; class Arrayed {}",
        "more/Unused": "package more; class Unused {}",
    }
    make_root(tmp_path / "source", {f"/{name}.java": text for name, text in sources.items()})
    top = make_root(tmp_path / "root", {"/srv/classes": None, "/srv/classes/broken.class": "x"})
    files = [f"{tmp_path}/source/{name}.java" for name in sources]
    subprocess.run(["javac", "-d", top / "srv/classes", *files], check=True)
    touched = ["/srv/classes/app/App.class", "/srv/classes/broken.class"]
    names = ("Other", "Other$Inner", "Named", "Arrayed")
    assert list_added_paths(top, touched, jvm_rules.RULES) == {
        f"/srv/classes/more/{name}.class": "java-class-path" for name in names
    }


@pytest.mark.parametrize("size", [0, 4, 9, 11, 60])
def test_a_cut_off_class_names_nothing(size: int) -> None:
    content = MAGIC + b"\0\0\0\x3d" + b"\0\x04" + b"\1\0\1x\7\0\1\5" + bytes(64)
    with pytest.raises(ValueError, match="no class file"):
        find_named_classes(content[:size])


def app_jar(folder: Path) -> None:
    """An app.jar whose manifest names late.jar."""
    for name, source in {"App": APP, "Late": LATE}.items():
        (folder / f"{name}.java").write_text(source)
    (folder / "manifest").write_text("Main-Class: App\nClass-Path: late.jar\n")
    for argv in (
        ("javac", "App.java", "Late.java"),
        ("sh", "-c", "jar cfm app.jar manifest App*.class"),
        ("jar", "cf", "late.jar", "Late.class"),
        ("sh", "-c", "rm *.class"),
    ):
        subprocess.run(argv, check=True, cwd=folder)


def test_native_halves_of_a_distribution_s_jars(tmp_path: Path) -> None:
    """Of the jar's own package, and of those that it requires."""
    packages = {
        "jar": ("other, libx-jni (>= 1)", "/usr/share/java/x.jar\n"),
        "libx-jni": ("", "/usr/lib/jni/libx.so\n/usr/lib/x86_64-linux-gnu/jni/liby.so\n"),
        "other": ("libz-jni", "/usr/lib/other.so\n"),
        "libz-jni": ("", "/usr/lib/jni/libz.so\n"),
    }
    status = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
        f"Depends: {requires}\n"
        for name, (requires, _) in packages.items()
    )
    lists = {f"/var/lib/dpkg/info/{name}.list": files for name, (_, files) in packages.items()}
    files = [file for _, names in packages.values() for file in names.split()]
    tree = {**dict.fromkeys(files, ""), **lists, "/var/lib/dpkg/status": status, "/opt/a.jar": ""}
    make_root(tmp_path, tree)
    added = list_added_paths(tmp_path, ["/usr/share/java/x.jar"], (native_halves.RULE,))
    assert {*added} == {"/usr/lib/jni/libx.so", "/usr/lib/x86_64-linux-gnu/jni/liby.so"}
    assert not list_added_paths(tmp_path, ["/opt/a.jar"], (native_halves.RULE,))


def test_a_runtime_of_the_app_s_own_is_kept_by_evidence(tmp_path: Path) -> None:
    """Its folder is no part of the app, wherever it is."""
    tree = {
        "/opt/java/openjdk/lib/jvm.cfg": "",
        "/opt/java/openjdk/lib/modules": "",
        "/opt/java/openjdk/legal/x": "",
        "/opt/shop/lib/shop.jar": "",
        "/opt/shop/lib/late.jar": "",
        "/opt/shop/runtime/lib/jvm.cfg": "",
        "/opt/shop/runtime/lib/modules": "",
    }
    make_root(tmp_path, tree)
    touched = ["/opt/java/openjdk/lib/modules", "/opt/shop/lib/shop.jar"]
    assert {*list_added_paths(tmp_path, touched, (own_folder.RULE,))} == {"/opt/shop/lib/late.jar"}
