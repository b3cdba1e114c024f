"""Native code that a program loads by a name that it puts together: plugins and what they need."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, compile_library, make_root
from requirements import need, need_root
from traces import environment, run_slimtrace

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rule import LimitCaution
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.closure.rules.natives import (
    RULES,
    plugin_folder,
    plugin_sibling,
)
from slimtrace.builder.closure.rules.natives.plugin_cost import PluginBounds
from slimtrace.builder.model import Keep, Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MODS = "/opt/y/lib/mods"
NATIVES = {rule.reason for rule in RULES}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin, one that needs libhelper.so, one that needs a library that is nowhere, programs."""
    need("gcc")
    folder = tmp_path_factory.mktemp("parts")
    compile_library(folder / "plugin.so")
    for name in ("libhelper.so", "libgone.so"):
        compile_library(folder / name, f"-Wl,-soname,{name}")
        needing = folder / f"needs-{name}"
        compile_library(needing, str(folder / name), "-Wl,-rpath,$ORIGIN/..")
    compile_library(folder / "program", "-pie")
    other = bytearray((folder / "plugin.so").read_bytes())
    other[18:20] = (40).to_bytes(2, "little")  # e_machine: EM_ARM, in elf(5)
    (folder / "other.so").write_bytes(other)
    return folder


def lay_out(top: Path, parts: Path, tree: Mapping[str, str]) -> None:
    """Copy parts to the paths of a tree."""
    for path, name in tree.items():
        place = top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(parts / name, place)


def name_constants(path: Path, *constants: str) -> None:
    """Compile a program that needs a library, and has these constants in its read-only data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'const char c{i}[] = "{text}";' for i, text in enumerate(constants)]
    source = "\n".join([*lines, "int main(void) { return 0; }"])
    subprocess.run(["gcc", "-x", "c", "-", "-o", str(path)], input=source.encode(), check=True)


def find_added(
    top: Path, touched: Iterable[str], listed: Iterable[str] = (), without: Iterable[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Find what the rules of natives add if these are touched, by reason; and the limits met."""
    seeds = [Seed(path, TOUCHED, load=True) for path in touched]
    seeds += [Seed(path, TOUCHED, is_listed=True) for path in listed]
    rules = [rule for rule in choose_rules(Keep.APP, without) if rule.reason in NATIVES]
    selection = expand(Root(str(top)), seeds, RunEnvironment((), (), "/"), rules)
    found = {
        path: entry.reasons[0].value
        for path, entry in selection.entries.items()
        if entry.reasons[0] in NATIVES
    }
    limits = [each for each in selection.warnings if isinstance(each, LimitCaution)]
    return found, [str(each) for each in limits]


def test_siblings_of_a_loaded_plugin_come_with_what_they_need(tmp_path: Path, parts: Path) -> None:
    lay_out(
        tmp_path,
        parts,
        {
            "/opt/y/bin/main": "program",
            "/opt/y/lib/libhelper.so": "libhelper.so",
            f"{MODS}/alpha.so": "plugin.so",
            f"{MODS}/beta.so.2": "plugin.so",
            f"{MODS}/gamma.so": "needs-libhelper.so",
            f"{MODS}/unloadable.so": "needs-libgone.so",
            f"{MODS}/arm.so": "other.so",
            f"{MODS}/program.so": "program",
            f"{MODS}/more/deep.so": "plugin.so",
            f"{MODS}/source.so.c": "plugin.so",
        },
    )
    (tmp_path / f"{MODS[1:]}/text.so").write_text("no library")
    touched = ["/opt/y/bin/main", f"{MODS}/alpha.so"]
    expected = {f"{MODS}/beta.so.2": "plugin-sibling", f"{MODS}/gamma.so": "plugin-sibling"}
    assert find_added(tmp_path, touched) == (expected, [])
    selection = expand(
        Root(str(tmp_path)),
        [Seed(path, TOUCHED, load=True) for path in touched],
        RunEnvironment((), (), "/"),
        [plugin_sibling.RULE],
    )
    assert "/opt/y/lib/libhelper.so" in selection.entries
    assert find_added(tmp_path, touched, without=["plugin-sibling"]) == ({}, [])


# why, the folder of the plugins, constants of the program
NO_FAMILIES = [
    ("the program names the plugin whole", MODS, ["alpha.so"]),
    ("the program names its path whole", MODS, [f"{MODS}/alpha.so"]),
    ("all programs' libraries are there", "/usr/lib", []),
    ("all programs' libraries are there, by the loader's settings", "/srv/lib", []),
    ("a language imports from there", "/usr/lib/python3/dist-packages/x", []),
    ("Node.js requires from there", "/srv/app/node_modules/x/build", []),
]


@pytest.mark.parametrize(
    ("folder", "constants"), [row[1:] for row in NO_FAMILIES], ids=[row[0] for row in NO_FAMILIES]
)
def test_folders_that_are_no_families(
    tmp_path: Path, parts: Path, folder: str, constants: list[str]
) -> None:
    make_root(tmp_path, {"/etc/ld.so.conf": "/srv/lib\n"})
    lay_out(tmp_path, parts, {f"{folder}/{name}.so": "plugin.so" for name in ("alpha", "beta")})
    name_constants(tmp_path / "opt/y/bin/main", "before", *constants, "after")
    touched = ["/opt/y/bin/main", f"{folder}/alpha.so"]
    without = ["plugin-folder"]
    assert find_added(tmp_path, touched, without=without) == ({}, [])
    name_constants(tmp_path / "opt/y/bin/main", "alpha.so of no kept program")
    is_family = bool(constants)
    assert bool(find_added(tmp_path, touched, without=without)[0]) is is_family


def test_files_that_a_plugin_is_read_with_come_with_its_siblings(
    tmp_path: Path, parts: Path
) -> None:
    """As libtool's do: it reads alpha.la, and that names alpha.so."""
    files = ("alpha.la", "beta.la", "beta.txt", "gamma.la")
    make_root(tmp_path, {f"{MODS}/{name}": "text" for name in files})
    lay_out(tmp_path, parts, {f"{MODS}/{name}.so": "plugin.so" for name in ("alpha", "beta")})
    found, _ = find_added(tmp_path, [f"{MODS}/alpha.so", f"{MODS}/alpha.la"])
    assert found.keys() == {f"{MODS}/beta.so", f"{MODS}/beta.la"}


def test_a_library_that_another_needs_is_no_plugin(tmp_path: Path, parts: Path) -> None:
    lay_out(
        tmp_path,
        parts,
        {
            "/opt/y/lib/libhelper.so": "libhelper.so",
            "/opt/y/lib/libother.so": "plugin.so",
            f"{MODS}/gamma.so": "needs-libhelper.so",
        },
    )
    assert find_added(tmp_path, [f"{MODS}/gamma.so", "/opt/y/lib/libhelper.so"]) == ({}, [])


# bounds, what is added of beta (small) and gamma (needs a large library), the warning's start
BOUNDS = [
    (PluginBounds(8, 1 << 20, 1 << 30), ["beta"], f"{MODS}/gamma.so is too large for"),
    (PluginBounds(8, 1 << 30, 1 << 20), [], f"{MODS} is too large for"),
    (PluginBounds(1, 1 << 30, 1 << 30), [], f"{MODS} is too large for"),
    (PluginBounds(8, 1 << 30, 1 << 30), ["beta", "gamma"], None),
]


@pytest.mark.parametrize(("bounds", "added", "warning"), BOUNDS)
def test_bounds_are_said(
    tmp_path: Path,
    parts: Path,
    monkeypatch: pytest.MonkeyPatch,
    bounds: PluginBounds,
    added: list[str],
    warning: str | None,
) -> None:
    monkeypatch.setattr(plugin_sibling, "BOUNDS", bounds)
    lay_out(
        tmp_path,
        parts,
        {
            "/opt/y/lib/libhelper.so": "libhelper.so",
            f"{MODS}/alpha.so": "plugin.so",
            f"{MODS}/beta.so": "plugin.so",
            f"{MODS}/gamma.so": "needs-libhelper.so",
        },
    )
    os.truncate(tmp_path / "opt/y/lib/libhelper.so", 2 << 20)
    found, warnings = find_added(tmp_path, [f"{MODS}/alpha.so"])
    assert sorted(found) == [f"{MODS}/{name}.so" for name in added]
    assert [line.startswith(warning or "") for line in warnings] == [True] * bool(warning)
    if warning and "gamma" in warning:
        assert f"--include {MODS}/gamma.so" in warnings[0]


# file, its text with %s for the folder, libraries that come beside alpha and beta
REGISTRIES = [
    ("/opt/y/etc/services.xml", '<c uri="$L/alpha.so"/><c uri="$L/beta.so"/><c uri="$L/c.so"/>', 1),
    ("/opt/y/etc/plugins.json", '["%s/alpha.so", "%s/beta.so", "%s/c.so", "%s/gone.so"]', 1),
    ("/etc/y/main.conf", "load mods/alpha.so\nload mods/beta.so\n#load mods/c.so", 1),
    ("/etc/y/main.conf", "load mods/alpha.so\nload mods/c.so", 0),
    ("/etc/y/notes.txt", "alpha.so beta.so c.so", 0),
    ("/etc/y/main.conf", "alpha.so beta.so c.so.txt", 0),
]


@pytest.mark.parametrize(("path", "text", "count"), REGISTRIES)
def test_registries(tmp_path: Path, parts: Path, path: str, text: str, count: int) -> None:
    make_root(tmp_path, {path: text.replace("%s", MODS)})
    lay_out(tmp_path, parts, {f"{MODS}/{name}.so": "plugin.so" for name in ("alpha", "beta", "c")})
    touched = [f"{MODS}/alpha.so", f"{MODS}/beta.so", path]
    without = ["plugin-sibling"]
    expected = {f"{MODS}/c.so": "plugin-registry"} if count else {}
    assert find_added(tmp_path, touched, without=without) == (expected, [])
    assert find_added(tmp_path, touched[:2], without=without) == ({}, [])  # not read by a run


def test_what_a_registry_names_is_no_evidence_for_its_siblings(tmp_path: Path, parts: Path) -> None:
    make_root(tmp_path, {"/etc/y.conf": "alpha.so beta.so"})
    names = ("alpha", "beta", "unnamed")
    lay_out(tmp_path, parts, {f"{MODS}/{name}.so": "plugin.so" for name in names})
    loaded = [f"{MODS}/alpha.so", f"{MODS}/beta.so"]
    assert find_added(tmp_path, [*loaded, "/etc/y.conf"]) == ({}, [])
    assert find_added(tmp_path, loaded)[0] == {f"{MODS}/unnamed.so": "plugin-sibling"}


DPKG = {
    "/var/lib/dpkg/status": "".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: 1\nSource: {source}\n\n"
        for name, source in (("y", "y"), ("y-more", "y"), ("y-z", "z"))
    ),
    "/var/lib/dpkg/info/y.list": (
        "/usr/bin/y\n/usr/lib/y/mods/alpha.so\n/usr/lib/y/mods/beta.so\n"
        "/usr/lib/y/other/o.so\n/usr/share/y/1/base.sql\n/usr/share/y/1/words/de.stop\n"
        "/usr/share/y/1/tool\n/usr/share/y/1/man/man1/y.1\n/usr/share/doc/y/README\n"
    ),
    "/var/lib/dpkg/info/y-more.list": (
        "/usr/share/y/1/more.sql\n/etc/ytools/one.xml\n/etc/ytools/two.xml\n/etc/yrest/three.xml\n"
    ),
    "/var/lib/dpkg/info/y-z.list": (
        "/usr/lib/y/mods/z.so\n/usr/share/y/z.sql\n/usr/lib/y/share/words/z.txt\n"
        "/usr/share/z/z.sql\n"
    ),
    **dict.fromkeys(
        [
            *("/usr/share/y/1/base.sql", "/usr/share/y/1/words/de.stop", "/usr/share/y/1/tool"),
            *("/usr/share/y/1/man/man1/y.1", "/usr/share/doc/y/README", "/usr/share/y/1/more.sql"),
            *("/usr/share/y/z.sql", "/usr/lib/y/share/words/z.txt", "/usr/share/z/z.sql"),
            *("/etc/ytools/one.xml", "/etc/ytools/two.xml", "/etc/yrest/three.xml"),
        ],
        "data",
    ),
}


def test_plugins_bring_the_data_of_their_packages(tmp_path: Path, parts: Path) -> None:
    """From the program's folders: the package's; where the folder was used, all of its source."""
    make_root(tmp_path, DPKG, **{"/usr/share/y/1/tool": 0o755})
    plugins = {f"/usr/lib/y/mods/{name}.so": "plugin.so" for name in ("alpha", "beta", "z")}
    lay_out(tmp_path, parts, plugins)
    touched = ["/usr/lib/y/mods/alpha.so", "/etc/ytools/one.xml"]
    data = {path for path, why in find_added(tmp_path, touched)[0].items() if why == "plugin-data"}
    assert data == {
        "/etc/ytools/two.xml",
        "/usr/share/y/1/base.sql",
        "/usr/share/y/1/words/de.stop",
        "/usr/share/y/1/more.sql",
        "/usr/share/y/z.sql",
        "/usr/lib/y/share/words/z.txt",
    }
    assert find_added(tmp_path, touched, without=["plugin-data"])[0].keys() == {
        "/usr/lib/y/mods/beta.so",
        "/usr/lib/y/mods/z.so",
    }


# the folder of plugins, a folder that no run used, whether its data come
NAMES = [
    ("/usr/lib/y/mods", "/usr/share/y", True),
    ("/usr/lib/x86_64-linux-gnu/y-6.9/mods", "/usr/share/y-6", True),
    ("/usr/lib/y-6.9/mods", "/usr/share/y-7", False),
    ("/usr/lib/y/mods", "/usr/share/yy", False),
    ("/usr/lib/info/mods", "/usr/share/info", False),
]


@pytest.mark.parametrize(("folder", "data", "is_kept"), NAMES)
def test_folders_that_have_the_name_of_the_program(
    tmp_path: Path, parts: Path, folder: str, data: str, is_kept: bool
) -> None:
    listings = {"y": f"{folder}/alpha.so\n", "y-more": f"{data}/words/de.txt\n"}
    info = {f"/var/lib/dpkg/info/{name}.list": text for name, text in listings.items()}
    status = {"/var/lib/dpkg/status": DPKG["/var/lib/dpkg/status"]}
    make_root(tmp_path, {**status, **info, f"{data}/words/de.txt": "text"})
    lay_out(tmp_path, parts, {f"{folder}/alpha.so": "plugin.so"})
    expected = {f"{data}/words/de.txt": "plugin-data"} if is_kept else {}
    assert find_added(tmp_path, [f"{folder}/alpha.so"])[0] == expected


# summary, constant of /usr/bin/y, whether the folder of unloaded plugins comes
NAMED_FOLDERS = [
    ("a folder", "/usr/lib/y/other", True),
    ("a folder in a search path, with another spelling", "/usr/lib:/lib/y/other/", True),
    ("a longer path", "/usr/lib/y/other/deep", False),
    ("a part of a sentence", "see /usr/lib/y/other", False),
    ("a folder of another package", "/usr/lib/y/foreign", False),
]


@pytest.mark.parametrize(
    ("constant", "is_kept"), [row[1:] for row in NAMED_FOLDERS], ids=[r[0] for r in NAMED_FOLDERS]
)
def test_folders_of_unloaded_plugins_that_the_program_names(
    tmp_path: Path, parts: Path, constant: str, is_kept: bool
) -> None:
    make_root(tmp_path, {**DPKG, "/lib": "-> usr/lib"})
    lay_out(
        tmp_path,
        parts,
        {"/usr/lib/y/other/o.so": "plugin.so", "/usr/lib/y/foreign/f.so": "plugin.so"},
    )
    (tmp_path / "var/lib/dpkg/info/y-z.list").write_text("/usr/lib/y/foreign/f.so\n")
    name_constants(tmp_path / "usr/bin/y", "x", constant)
    expected = {"/usr/lib/y/other/o.so": "plugin-folder"} if is_kept else {}
    assert find_added(tmp_path, ["/usr/bin/y"])[0] == expected
    assert find_added(tmp_path, ["/usr/bin/y"], without=["plugin-folder"])[0] == {}


def test_a_folder_that_a_program_of_no_package_names(tmp_path: Path, parts: Path) -> None:
    lay_out(tmp_path, parts, {"/usr/local/lib/y/plugins/a.so": "plugin.so"})
    name_constants(tmp_path / "usr/local/bin/y", "/usr/local/lib/y/plugins/")
    expected = {"/usr/local/lib/y/plugins/a.so": "plugin-folder"}
    assert find_added(tmp_path, ["/usr/local/bin/y"])[0] == expected
    make_root(
        tmp_path,
        {
            "/var/lib/dpkg/status": DPKG["/var/lib/dpkg/status"],
            "/var/lib/dpkg/info/y.list": "/usr/local/lib/y/plugins/a.so\n",
        },
    )
    assert find_added(tmp_path, ["/usr/local/bin/y"])[0] == {}
    assert plugin_folder.BOUNDS.folder_bytes < plugin_sibling.BOUNDS.folder_bytes


LOADER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.so", MODS, argv[argc - 1]);
    puts(dlopen(path, RTLD_NOW) ? "loaded" : dlerror());
    return 0;
}
"""


def test_a_program_loads_another_plugin_in_its_slim_image(tmp_path: Path, parts: Path) -> None:
    """Real: the run loaded one plugin, the slim image is asked for one that needs a library."""
    need_root()
    mods = tmp_path / "lib/mods"
    lay_out(
        tmp_path,
        parts,
        {
            "lib/libhelper.so": "libhelper.so",
            "lib/mods/alpha.so": "plugin.so",
            "lib/mods/gamma.so": "needs-libhelper.so",
        },
    )
    main = str(tmp_path / "main")
    flags = [f'-DMODS="{mods}"', "-x", "c", "-", "-o", main]
    subprocess.run(["gcc", *flags], input=LOADER.encode(), check=True)
    trace, image = str(tmp_path / "t.trace"), f"rootfs:{tmp_path / 'slim'}"
    run = ("-q", "run", "--force", "-o", trace)
    done = run_slimtrace(*run, "--", main, "alpha", cwd=str(tmp_path), env=environment())
    assert done.returncode == 0, done.stderr
    build = ("build", trace, "-o", image, "--keep", "app", "--without-rule", "own-folder")
    done = run_slimtrace(*build, cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = run_slimtrace(*run, "--image", image, "--", main, "gamma", cwd=str(tmp_path))
    assert "loaded" in done.stdout, (done.stdout, done.stderr)
