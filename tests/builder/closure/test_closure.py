"""The files that touched files need: libraries, loaders, interpreters, links and directories."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, compile_library, describe_selection, make_root, make_run

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.shebang import parse_shebang
from slimtrace.builder.model import Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

PATH = ("/usr/local/bin", "/usr/bin")


def closure(
    top: Path, *paths: str, library_path: tuple[str, ...] = (), execute: bool = False
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The implied files if these are touched, own path → ``reason``, and the warnings."""
    wanted = [Seed(path, TOUCHED, load=True, execute=execute) for path in paths]
    selection = expand(Root(str(top)), wanted, RunEnvironment(PATH, library_path, "/work"))
    found = {path: line.split()[-1] for path, line in describe_selection(selection).items()}
    return {path: why for path, why in found.items() if why != "touched"}, selection.warnings


def library(
    top: Path, path: str, *needed: Path, soname: str | None = None, flags: str = ""
) -> Path:
    place = top / path.lstrip("/")
    options = [f"-Wl,-soname,{soname or place.name}", *flags.split(), *map(str, needed)]
    compile_library(place, *options)
    return place


# summary, RPATH or RUNPATH of /opt/app/bin/app, the copies of libx.so, LD_LIBRARY_PATH, result
SEARCHES = [
    ("nothing finds it", "", ["/opt/app/lib"], (), None),
    ("a default directory", "", ["/usr/lib/x86_64-linux-gnu"], (), "/usr/lib/x86_64-linux-gnu"),
    ("RUNPATH", "-Wl,--enable-new-dtags,-rpath,/opt/app/lib", ["/opt/app/lib"], (), "/opt/app/lib"),
    (
        "$ORIGIN in RUNPATH",
        "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib",
        ["/opt/app/lib"],
        (),
        "/opt/app/lib",
    ),
    (
        "${ORIGIN} in RPATH",
        "-Wl,--disable-new-dtags,-rpath,${ORIGIN}/../lib",
        ["/opt/app/lib"],
        (),
        "/opt/app/lib",
    ),
    ("$LIB", "-Wl,-rpath,/opt/$LIB", ["/opt/lib64"], (), "/opt/lib64"),
    ("$PLATFORM", "-Wl,-rpath,/opt/$PLATFORM", ["/opt/x86_64"], (), "/opt/x86_64"),
    (
        "RPATH comes before LD_LIBRARY_PATH",
        "-Wl,--disable-new-dtags,-rpath,/opt/a",
        ["/opt/a", "/opt/b"],
        ("/opt/b",),
        "/opt/a",
    ),
    (
        "LD_LIBRARY_PATH comes before RUNPATH",
        "-Wl,--enable-new-dtags,-rpath,/opt/a",
        ["/opt/a", "/opt/b"],
        ("/opt/b",),
        "/opt/b",
    ),
    ("LD_LIBRARY_PATH with a token", "", ["/opt/app/lib"], ("$ORIGIN/../lib",), "/opt/app/lib"),
]


@pytest.mark.parametrize(
    ("flags", "places", "library_path", "found"),
    [case[1:] for case in SEARCHES],
    ids=[case[0] for case in SEARCHES],
)
def test_search(
    tmp_path: Path, flags: str, places: list[str], library_path: tuple[str, ...], found: str | None
) -> None:
    top = make_root(tmp_path / "root", {"/opt/app/lib": None})
    needed, *_ = [library(top, f"{place}/libx.so") for place in places]
    library(top, "/opt/app/bin/app", needed, flags=flags)
    brought, warnings = closure(top, "/opt/app/bin/app", library_path=library_path)
    assert brought == ({f"{found}/libx.so": "needed-library"} if found else {})
    missing = "cannot find the library libx.so, which /opt/app/bin/app needs: left out"
    assert [warning.partition(";")[0] for warning in warnings] == ([] if found else [missing])


def test_rpath_of_what_loaded_it_serves_a_library_and_runpath_does_not(tmp_path: Path) -> None:
    for kind, there in (("disable", True), ("enable", False)):
        top = make_root(tmp_path / kind, {"/usr/bin": None})
        deep = library(top, "/opt/lib/libdeep.so")
        near = library(top, "/opt/lib/libnear.so", deep)
        flags = f"-Wl,--{kind}-new-dtags,-rpath,/opt/lib -L{top}/opt/lib"
        flags += f" -Wl,-rpath-link,{top}/opt/lib"
        library(top, "/usr/bin/app", near, flags=flags)
        brought, warnings = closure(top, "/usr/bin/app")
        expected = {"/opt/lib/libnear.so": "needed-library"}
        if there:
            expected["/opt/lib/libdeep.so"] = "needed-library"
        assert brought == expected
        assert bool(warnings) is not there


def test_a_library_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/opt/b": None})
    good = library(top, "/opt/b/libx.so")
    library(top, "/app", good, flags="-Wl,-rpath,/opt/a:/opt/b")
    other = bytearray(good.read_bytes())
    other[18] = 183  # e_machine: AArch64
    make_root(top, {"/opt/a/libx.so": bytes(other)})
    assert closure(top, "/app") == ({"/opt/b/libx.so": "needed-library"}, ())


def test_a_touched_library_that_nothing_finds_is_not_missing(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/odd": None})
    needed = library(top, "/odd/libx.so")
    library(top, "/app", needed)
    assert closure(top, "/app", "/odd/libx.so") == ({}, ())


def test_links_directories_and_the_loader(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/lib": "-> usr/lib", "/usr/lib64/ld.so": "loader"})
    real = library(top, "/usr/lib/libx.so.1.2", soname="libx.so.1")
    make_root(top, {"/usr/lib/libx.so.1": "-> libx.so.1.2"})
    compile_library(
        top / "app", "-pie", str(real), "-Wl,-e,0", "-Wl,--dynamic-linker,/usr/lib64/ld.so"
    )
    wanted = [Seed("/app", TOUCHED, load=True)]
    selection = expand(Root(str(top)), wanted, RunEnvironment(PATH, (), "/"))
    assert {path: entry.reasons[0].value for path, entry in selection.entries.items()} == {
        "/": "directory",
        "/app": "touched",
        "/lib": "symlink",
        "/usr": "directory",
        "/usr/lib": "directory",
        "/usr/lib/libx.so.1": "symlink",
        "/usr/lib/libx.so.1.2": "needed-library",
        "/usr/lib64": "directory",
        "/usr/lib64/ld.so": "elf-interpreter",
    }


def test_the_cache_finds_what_no_directory_does(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/etc": None})
    needed = library(top, "/odd/libx.so")
    library(top, "/odd/glibc-hwcaps/x86-64-v3/libx.so")
    library(top, "/app", needed)
    subprocess.run(["/sbin/ldconfig", "-r", str(top), "/odd"], check=True)
    assert closure(top, "/app") == (
        {"/odd/libx.so": "needed-library", "/etc/ld.so.cache": "needed-library"},
        (),
    )


def test_the_configured_directories_serve_an_image_without_a_cache(tmp_path: Path) -> None:
    conf = {"/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n", "/etc/ld.so.conf.d/a.conf": "/odd"}
    top = make_root(tmp_path / "root", conf)
    library(top, "/app", library(top, "/odd/libx.so"))
    assert closure(top, "/app") == ({"/odd/libx.so": "needed-library"}, ())


@pytest.mark.parametrize("variant", ["glibc-hwcaps/x86-64-v3", "haswell", "tls/haswell"])
def test_a_variant_for_one_cpu_keeps_the_baseline(tmp_path: Path, variant: str) -> None:
    top = make_root(tmp_path / "root", {"/usr/lib": None})
    real = library(top, "/usr/lib/libx.so.1.2", library(top, "/usr/lib/liby.so"))
    library(top, f"/usr/lib/{variant}/libx.so.1.2")
    make_root(top, {f"/usr/lib/{d}libx.so.1": "-> libx.so.1.2" for d in ("", f"{variant}/")})
    assert closure(top, f"/usr/lib/{variant}/libx.so.1")[0] == {
        f"/usr/lib/{variant}/libx.so.1": "symlink",
        "/usr/lib/libx.so.1": "symlink",
        "/usr/lib/libx.so.1.2": "baseline-library",
        "/usr/lib/liby.so": "needed-library",
    }
    assert real.exists()


def test_musl_searches_its_own_way(tmp_path: Path) -> None:
    for path_file, folder in ((None, "/usr/local/lib"), ("/odd\n/lib", "/odd")):
        top = make_root(
            tmp_path / folder.strip("/").replace("/", "-"), {"/lib/ld-musl-x86_64.so.1": "x"}
        )
        if path_file:
            make_root(top, {"/etc/ld-musl-x86_64.path": path_file})
        needed = library(top, f"{folder}/libx.so")
        own = library(top, "/elsewhere/libc.musl-x86_64.so.1")
        linker = "-Wl,-e,0,--dynamic-linker,/lib/ld-musl-x86_64.so.1"
        compile_library(top / "app", "-pie", str(needed), str(own), linker)
        brought, warnings = closure(top, "/app")
        expected = {
            f"{folder}/libx.so": "needed-library",
            "/lib/ld-musl-x86_64.so.1": "elf-interpreter",
        }
        if path_file:
            expected["/etc/ld-musl-x86_64.path"] = "needed-library"
        assert (brought, warnings) == (expected, ())


@pytest.mark.parametrize("damage", [5, 20, 60, 400])
def test_a_damaged_library_needs_nothing(tmp_path: Path, damage: int) -> None:
    whole = library(tmp_path, "/libx.so").read_bytes()
    make_root(
        tmp_path, {"/cut.so": whole[:damage], "/holes.so": whole[:damage] + bytes(len(whole))}
    )
    assert closure(tmp_path, "/cut.so", "/holes.so") == ({}, ())


SCRIPTS = {
    "/usr/bin/env": "env",
    "/usr/bin/python3": "-> python3.11",
    "/usr/bin/python3.11": "python",
    "/usr/local/bin/python3": None,
    "/bin/sh": "sh",
    "/work/run": "runner",
}
ENV = {"/usr/bin/env": "script-interpreter"}
PYTHON = {"/usr/bin/python3": "symlink", "/usr/bin/python3.11": "script-interpreter"}


@pytest.mark.parametrize(
    ("line", "brought"),
    [
        ("#!/bin/sh -e", {"/bin/sh": "script-interpreter"}),
        ("#! \t/bin/sh", {"/bin/sh": "script-interpreter"}),
        ("#!run", {"/work/run": "script-interpreter"}),
        ("#!/usr/bin/env python3", {**ENV, **PYTHON}),
        ("#!/usr/bin/env -S A=1 -u B python3 -u", {**ENV, **PYTHON}),
        ("#!/usr/bin/env python3 -u", ENV),
        ("#!/usr/bin/env none", ENV),
        ("#!", {}),
        ("# no", {}),
    ],
)
def test_scripts(tmp_path: Path, line: str, brought: dict[str, str]) -> None:
    executable = dict.fromkeys(("/app", "/usr/bin/env", "/usr/bin/python3.11"), 0o755)
    top = make_root(tmp_path / "root", {**SCRIPTS, "/app": f"{line}\n"}, **executable)
    assert closure(top, "/app", execute=True)[0] == brought
    assert closure(top, "/app")[0] == {}  # a script that is only read needs no interpreter


def test_a_chain_of_scripts(tmp_path: Path) -> None:
    chain = {f"/s{n}": f"#!/s{n + 1}\n" for n in range(1, 4)} | {"/s4": "#!/s1\n"}
    top = make_root(tmp_path / "root", chain, **dict.fromkeys(chain, 0o755))
    brought = closure(top, "/s1", execute=True)[0]
    assert brought == {
        "/s1": "touched,script-interpreter",
        **dict.fromkeys(["/s2", "/s3", "/s4"], "script-interpreter"),
    }


def test_the_kernel_reads_256_bytes() -> None:
    assert parse_shebang(b"#!/bin/" + b"x" * 400) == ("/bin/" + "x" * 249, "")
    assert parse_shebang(b"#!/bin/\xff a  b \n") == ("/bin/\udcff", "a  b")


def test_links_into_the_kernels_directories_stay_links(tmp_path: Path) -> None:
    top = make_root(
        tmp_path / "root", {"/etc/mtab": "-> /proc/self/mounts", "/proc/self/mounts": "x"}
    )
    selection = expand(Root(str(top)), [Seed("/etc/mtab", TOUCHED)], RunEnvironment(PATH, (), "/"))
    assert describe_selection(selection) == {"/etc/mtab": "-> /proc/self/mounts symlink"}
    assert [(item.path, item.why) for item in selection.dropped] == [
        ("/proc/self/mounts", "the kernel provides it")
    ]


def test_variables_of_all_runs_decide_and_the_first_run_says_more(tmp_path: Path) -> None:
    first, second = {"LANG": "C.UTF-8"}, {"LANG": "de_DE.UTF-8", "NODE_PATH": "/srv"}
    runs = [make_run(tmp_path, env=first), make_run(tmp_path, env=second)]
    assert RunEnvironment.from_runs(runs).env == {"LANG": "C.UTF-8", "NODE_PATH": "/srv"}
