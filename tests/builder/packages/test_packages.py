"""The packages of files, from databases of real package managers and generated ones."""

from __future__ import annotations

import os
import re
import sqlite3
import struct
import subprocess
import sysconfig
import time
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, describe_selection, make_root
from requirements import need, need_root, skip_missing
from rpm_spec import SPEC
from traces import allow_all_users
from umoci_images import run_command

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.model import Keep, Reason, Seed
from slimtrace.builder.packages.index import PackageIndex
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.packages.package import Package

Tree = dict[str, str | bytes | None]


def describe_package(package: Package) -> str:
    return f"{package.kind} {package.name} {package.version} {package.architecture}".rstrip()


def owners(top: Path | str, path: str) -> list[str]:
    """The packages of an own path, as ``deb libc6 2.36-9 amd64``."""
    return [describe_package(package) for package in PackageIndex(Root(str(top))).owners(path)]


def list_added(top: Path, *paths: str, keep: Keep = Keep.PACKAGE) -> set[str]:
    """The own paths that are kept only because their package was touched."""
    seeds = [Seed(path, TOUCHED) for path in paths]
    rules = [rule for rule in choose_rules(keep) if rule.reason is Reason.PACKAGE]
    selection = expand(Root(str(top)), seeds, RunEnvironment((), (), "/"), rules)
    return {
        path for path, line in describe_selection(selection).items() if line.endswith(" package")
    }


def test_dpkg_lists_the_files_of_every_package_of_this_machine() -> None:
    need("dpkg-query")
    form = "${db:Status-Status} ${Package}:${Architecture} ${Version} ${source:Package} "
    installed = run_command("dpkg-query", "-W", "-f", form + "${source:Version}\n")
    expected = {
        tuple(line.split()[1:]) for line in installed.splitlines() if line[:9] == "installed"
    }
    started = time.process_time()
    found = PackageIndex(Root("/")).system
    took = time.process_time() - started
    debs = [package for package in found if package.kind == "deb"]
    assert expected == {
        (f"{deb.name}:{deb.architecture}", deb.version, deb.source, deb.source_version)
        for deb in debs
    }
    assert took < 3  # 0.16 s for 849 packages on an idle machine
    for deb in debs[:: max(1, len(debs) // 40)]:
        listed_files = run_command(
            "dpkg-query", "-L", f"{deb.name}:{deb.architecture}"
        ).splitlines()
        plain = [
            line
            for line in listed_files
            if not re.match(r"(package|locally) divert|diverted by", line)
        ]
        if len(plain) == len(listed_files):
            assert {file for file in plain if file != "/."} == set(deb.files)


def test_dpkg_knows_the_owner_of_files_behind_the_merged_usr() -> None:
    need("dpkg-query")
    index = PackageIndex(Root("/"))
    places = [
        "/bin/sh",
        "/bin/ls",
        "/sbin/ldconfig",
        "/usr/bin/env",
        "/lib/x86_64-linux-gnu/libc.so.6",
    ]
    for path in filter(os.path.exists, places):
        own = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        answers = [
            subprocess.run(["dpkg-query", "-S", name], check=False, capture_output=True, text=True)
            for name in dict.fromkeys((path, own))
        ]
        listed_files = {
            line.partition(":")[0]
            for answer in answers
            for line in answer.stdout.splitlines()
            if not line.startswith("diversion")
        }
        assert {package.name for package in index.owners(own)} <= listed_files
        assert len(index.owners(own)) == 1
    assert index.owners("/usr/bin/no-such-program") == ()


DPKG: Tree = {
    "/lib": "-> usr/lib",
    "/usr/lib/liba.so.1": "",
    "/usr/share/a/one": "",
    "/usr/share/a/moved.real": "a's",
    "/usr/share/a/moved": "b's",
    "/usr/share/a/not-listed": "",
    "/usr/share/b": "",
    "/var/lib/dpkg/status": """Package: a
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: aaa (1:2-3)
Version: 1:2-3+b1
Description: short
 Version: 9

Package: b
Status: install ok installed
Architecture: all
Version: 4

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 5
""",
    "/var/lib/dpkg/info/a:amd64.list": (
        "/.\n/lib\n/lib/liba.so.1\n/usr/share/a\n/usr/share/a/one\n/usr/share/a/moved\n/usr/gone\n"
    ),
    "/var/lib/dpkg/info/b.list": "/.\n/usr/share/b\n/usr/share/a/moved\n",
    "/var/lib/dpkg/info/gone.list": "/usr/share/a/one\n",
    "/var/lib/dpkg/diversions": "/usr/share/a/moved\n/usr/share/a/moved.real\nb\n",
}
# own path, its owners
DPKG_OWNERS = [
    ("/usr/lib/liba.so.1", ["deb a 1:2-3+b1 amd64"]),
    ("/usr/share/a/one", ["deb a 1:2-3+b1 amd64"]),
    ("/usr/share/a/moved", ["deb b 4 all"]),
    ("/usr/share/a/moved.real", ["deb a 1:2-3+b1 amd64"]),
    ("/usr/share/a/not-listed", []),
    ("/usr/share/a/on", []),
]


@pytest.mark.parametrize(("path", "expected"), DPKG_OWNERS)
def test_owners_by_dpkg(tmp_path: Path, path: str, expected: list[str]) -> None:
    make_root(tmp_path, DPKG)
    assert owners(tmp_path, path) == expected


def test_the_source_package_of_a_binary(tmp_path: Path) -> None:
    make_root(tmp_path, DPKG)
    found = PackageIndex(Root(str(tmp_path))).system
    assert [(deb.source, deb.source_version) for deb in found] == [("aaa", "1:2-3"), ("b", "4")]


def test_a_touched_file_brings_its_package_at_that_level_alone(tmp_path: Path) -> None:
    make_root(tmp_path, DPKG)
    expected = {"/usr/share/a/one", "/usr/share/a/moved.real", "/usr/share/a"}
    assert list_added(tmp_path, "/lib/liba.so.1") == expected - {"/usr/share/a"}
    assert list_added(tmp_path, "/lib/liba.so.1", keep=Keep.CLOSURE) == set()
    assert list_added(tmp_path, "/usr/share/a/not-listed", "/usr/share") == set()


def test_the_package_rule_can_be_switched_off() -> None:
    names = {rule.reason for rule in choose_rules(Keep.PACKAGE, ["package"])}
    assert Reason.PACKAGE not in names
    assert names


def test_images_without_dpkg_have_a_stanza_for_each_package(tmp_path: Path) -> None:
    make_root(
        tmp_path,
        {
            "/var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 1\nArchitecture: all\n",
            "/var/lib/dpkg/status.d/tzdata.md5sums": "0123  usr/share/zoneinfo/UTC\n",
        },
    )
    assert owners(tmp_path, "/usr/share/zoneinfo/UTC") == ["deb tzdata 1 all"]


APK: Tree = {
    "/usr/lib/libz.so.1.3": "z",
    "/lib/apk/db/installed": """C:Q1abc=
P:zlib
V:1.3.1-r1
A:x86_64
o:zlib-src
F:usr
F:usr/lib
R:libz.so.1
a:0:0:777
Z:Q1x=
R:libz.so.1.3

P:alpine-baselayout
V:3.6-r0
A:x86_64
F:
R:.hidden
F:etc
R:fstab
""",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/lib/libz.so.1.3", ["apk zlib 1.3.1-r1 x86_64"]),
        ("/etc/fstab", ["apk alpine-baselayout 3.6-r0 x86_64"]),
        ("/.hidden", ["apk alpine-baselayout 3.6-r0 x86_64"]),
        ("/usr/lib/libz.so", []),
    ],
)
def test_owners_by_apk(tmp_path: Path, path: str, expected: list[str]) -> None:
    make_root(tmp_path, APK)
    assert owners(tmp_path, path) == expected
    assert PackageIndex(Root(str(tmp_path))).system[0].source == "zlib-src"


@pytest.fixture
def rpm_root(tmp_path: Path) -> Path:
    """A root into which rpm installed one package."""
    need("rpmbuild", "rpm")
    (tmp_path / "tiny.spec").write_text(SPEC)
    top = tmp_path / "top"
    run_command(
        "rpmbuild", "--quiet", "-bb", "--define", f"_topdir {top}", str(tmp_path / "tiny.spec")
    )
    root = tmp_path / "root"
    root.mkdir()
    argv = ["rpm", "--root", str(root), "--dbpath", "/var/lib/rpm", "-i", "--nodeps"]
    built = str(top / "RPMS/noarch/tiny-1.2-3.noarch.rpm")
    if os.geteuid() != 0:
        argv += ["--justdb", "--nosignature"]
    done = subprocess.run([*argv, built], check=False, capture_output=True, text=True)
    if done.returncode != 0 and os.geteuid() != 0:
        skip_missing("root, for rpm to change its root")
    assert done.returncode == 0, done.stderr
    return root


def test_owners_by_rpm(rpm_root: Path) -> None:
    assert owners(rpm_root, "/usr/bin/tiny") == ["rpm tiny 7:1.2-3 noarch"]
    assert owners(rpm_root, "/usr/share/tiny/a") == ["rpm tiny 7:1.2-3 noarch"]
    assert owners(rpm_root, "/usr/share") == []
    listed_files = run_command(
        "rpm", "--root", str(rpm_root), "--dbpath", "/var/lib/rpm", "-ql", "tiny"
    )
    (package,) = PackageIndex(Root(str(rpm_root))).system
    assert list(package.files) == listed_files.splitlines()
    assert package.source == "tiny-1.2-3.src.rpm"
    assert list_added(rpm_root, "/usr/bin/tiny") >= {"/usr/share/tiny/a"}


def test_a_damaged_rpm_database_is_told_of(rpm_root: Path) -> None:
    for name in ("rpmdb.sqlite", "rpmdb.sqlite-wal"):
        (rpm_root / "var/lib/rpm" / name).write_bytes(b"no database at all" * 300)
    with pytest.raises(
        SlimtraceError, match=r"cannot read /var/lib/rpm/rpmdb.sqlite: it is damaged"
    ):
        owners(rpm_root, "/usr/bin/tiny")


@pytest.mark.parametrize(("name", "kind"), [("Packages", "Berkeley"), ("Packages.db", "ndb")])
def test_an_old_rpm_database_is_told_of(tmp_path: Path, name: str, kind: str) -> None:
    make_root(tmp_path, {f"/var/lib/rpm/{name}": "", "/usr/bin/x": ""})
    with pytest.raises(SlimtraceError, match=f"cannot read /var/lib/rpm/{name}: it is an? {kind}"):
        list_added(tmp_path, "/usr/bin/x")


LANGUAGES: Tree = {
    "/v/lib/python3/site-packages/flask/app.py": "",
    "/v/lib/python3/site-packages/flask/views.py": "",
    "/v/lib/python3/site-packages/flask/generated.py": "",
    "/v/bin/flask": "",
    "/v/lib/python3/site-packages/Flask-3.1.dist-info/METADATA": (
        "Name: Flask\nVersion: 3.1\n\nVersion: 4\n"
    ),
    "/v/lib/python3/site-packages/Flask-3.1.dist-info/RECORD": (
        'flask/app.py,sha256=x,1\n"flask/views.py",,\n../../../bin/flask,,\n'
        "Flask-3.1.dist-info/METADATA,,\nFlask-3.1.dist-info/RECORD,,\n"
    ),
    "/v/lib/python3/site-packages/old/x.py": "",
    "/v/lib/python3/site-packages/old-1.egg-info/PKG-INFO": (
        "Metadata-Version: 1.0\nName: old\nVersion: 1\n"
    ),
    "/v/lib/python3/site-packages/old-1.egg-info/installed-files.txt": "../old/x.py\nPKG-INFO\n",
    "/a/node_modules/@s/p/package.json": '{"name": "@s/p", "version": "2.0.0"}',
    "/a/node_modules/@s/p/lib/x.js": "",
    "/a/node_modules/@s/p/node_modules/q/package.json": '{"name": "q", "version": "1.0.0"}',
    "/a/node_modules/@s/p/node_modules/q/y.js": "",
    "/a/node_modules/broken/package.json": "{",
    "/a/node_modules/broken/z.js": "",
    "/g/gems/net-http-0.4.1/lib/net.rb": "",
    "/g/gems/ffi-1.16-x86_64-linux/lib/ffi.rb": "",
    "/g/specifications/net-http-0.4.1.gemspec": "",
    "/g/specifications/ffi-1.16-x86_64-linux.gemspec": "",
    "/g/extensions/x86_64-linux/3.1.0/net-http-0.4.1/net.so": "",
}
SITE = "/v/lib/python3/site-packages"
# touched file, its owner, added files
DISTRIBUTIONS: list[tuple[str, list[str], set[str]]] = [
    (
        f"{SITE}/flask/app.py",
        ["pypi Flask 3.1"],
        {
            f"{SITE}/flask/views.py",
            f"{SITE}/Flask-3.1.dist-info/METADATA",
            f"{SITE}/Flask-3.1.dist-info/RECORD",
            "/v/bin/flask",
        },
    ),
    (f"{SITE}/flask/generated.py", [], set()),
    (f"{SITE}/old/x.py", ["pypi old 1"], {f"{SITE}/old-1.egg-info/PKG-INFO"}),
    (
        "/a/node_modules/@s/p/lib/x.js",
        ["npm @s/p 2.0.0"],
        {"/a/node_modules/@s/p/package.json"},
    ),
    (
        "/a/node_modules/@s/p/node_modules/q/y.js",
        ["npm q 1.0.0"],
        {"/a/node_modules/@s/p/node_modules/q/package.json"},
    ),
    ("/a/node_modules/broken/z.js", [], set()),
    (
        "/g/gems/net-http-0.4.1/lib/net.rb",
        ["gem net-http 0.4.1"],
        {
            "/g/specifications/net-http-0.4.1.gemspec",
            "/g/extensions/x86_64-linux/3.1.0/net-http-0.4.1/net.so",
        },
    ),
    (
        "/g/gems/ffi-1.16-x86_64-linux/lib/ffi.rb",
        ["gem ffi 1.16 x86_64-linux"],
        {"/g/specifications/ffi-1.16-x86_64-linux.gemspec"},
    ),
]


@pytest.mark.parametrize(
    ("path", "owner", "files"), DISTRIBUTIONS, ids=[d[0] for d in DISTRIBUTIONS]
)
def test_distributions_of_languages(
    tmp_path: Path, path: str, owner: list[str], files: set[str]
) -> None:
    make_root(tmp_path, LANGUAGES)
    assert owners(tmp_path, path) == owner
    assert list_added(tmp_path, path) == files


def test_a_distribution_that_pip_installed() -> None:
    import orjson  # noqa: PLC0415

    site = os.path.realpath(sysconfig.get_path("purelib"))
    module = os.path.realpath(os.path.dirname(orjson.__file__)) + "/__init__.py"
    assert module.startswith(site)
    assert owners("/", module) == [f"pypi orjson {orjson.__version__}"]


def make_database(root: Path, script: str) -> None:
    """Make an rpm database with an SQL script."""
    (root / "var/lib/rpm").mkdir(parents=True)
    with sqlite3.connect(root / "var/lib/rpm/rpmdb.sqlite") as database:
        database.executescript(script)
    database.close()


NO_TABLE = "it has no table of packages"
# summary, the database's contents, the warning
DAMAGES = [
    ("no table", "CREATE TABLE Other (x)", NO_TABLE),
    ("a view", "CREATE VIEW Packages AS SELECT 1 AS blob", NO_TABLE),
    ("no header", "CREATE TABLE Packages AS SELECT NULL AS blob", "it is damaged"),
    ("words", "CREATE TABLE Packages AS SELECT 'header' AS blob", "it is damaged"),
    (
        "an early end",
        "CREATE TABLE Packages AS SELECT x'0000000100000009' AS blob",
        "a header ends early",
    ),
    (
        "more entries than bytes",
        "CREATE TABLE Packages AS SELECT x'FFFFFFFF00000000' AS blob",
        "it is damaged",
    ),
]


@pytest.mark.parametrize(
    ("script", "message"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES]
)
def test_what_is_no_rpm_database_is_told_of(tmp_path: Path, script: str, message: str) -> None:
    make_database(tmp_path, script)
    with pytest.raises(SlimtraceError, match=f"cannot read /var/lib/rpm/rpmdb.sqlite: .*{message}"):
        owners(tmp_path, "/x")


def test_what_rpm_wrote_last_lies_in_the_log_beside_the_database(tmp_path: Path) -> None:
    header = struct.pack(">IIIIII", 1, 5, 1000, 6, 0, 1) + b"late\0"
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    database_path = tmp_path / "var/lib/rpm/rpmdb.sqlite"
    database = sqlite3.connect(database_path, isolation_level=None)
    for step in ("PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0"):
        database.execute(step)
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
    database.execute("INSERT INTO Packages VALUES (1, ?)", (header,))
    before = database_path.read_bytes()
    found = PackageIndex(Root(str(tmp_path))).system
    assert [package.name for package in found] == ["late"]
    assert database_path.read_bytes() == before  # the full image is never changed
    database.close()


@pytest.mark.parametrize("database_path", ["/var/lib/dpkg/status", "/lib/apk/db/installed"])
def test_a_database_that_may_not_be_read_is_told_of(tmp_path: Path, database_path: str) -> None:
    allow_all_users(tmp_path)
    need_root()
    make_root(tmp_path, {database_path: "Package: x\n"}, **{database_path: 0o600})
    os.seteuid(65534)
    try:
        with pytest.raises(SlimtraceError, match=f"cannot read {database_path}: Permission denied"):
            owners(tmp_path, "/x")
    finally:
        os.seteuid(0)


GEMSPEC = """
Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = "tiny-gem", "1.2", "tiny", ["x"]
  s.files = ["lib/tiny.rb", "data/x.txt"]
end
"""


def test_a_gem_that_was_installed(tmp_path: Path) -> None:
    need("gem")
    source = tmp_path / "source"
    make_root(source, {"/lib/tiny.rb": "1", "/data/x.txt": "2", "/tiny-gem.gemspec": GEMSPEC})
    run_command("gem", "build", "-q", "tiny-gem.gemspec", cwd=source)
    home = tmp_path / "root/g"
    argv = ["--local", "--no-document", "--install-dir", str(home), "tiny-gem-1.2.gem"]
    run_command("gem", "install", "-q", *argv, cwd=source)
    assert owners(tmp_path / "root", "/g/gems/tiny-gem-1.2/lib/tiny.rb") == ["gem tiny-gem 1.2"]
    assert list_added(tmp_path / "root", "/g/gems/tiny-gem-1.2/lib/tiny.rb") == {
        "/g/gems/tiny-gem-1.2/data/x.txt",
        "/g/specifications/tiny-gem-1.2.gemspec",
    }


def test_no_database_at_all(tmp_path: Path) -> None:
    make_root(tmp_path, {"/x": ""})
    assert owners(tmp_path, "/x") == []
    assert PackageIndex(Root(str(tmp_path))).system == ()
