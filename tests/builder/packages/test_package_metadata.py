"""What scanners read in an image: the parts of package databases that tell of kept files."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest
from fullimages import run
from parts import need, need_root
from rpm_spec import SPEC
from trivy import scan
from worlds import TIME, plant, trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.model import Reason
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.model import Selection

World = dict[str, str | bytes | None]


def selected(top: Path, *touched: str, **options: object) -> Selection:
    return select(trace(top, touched), Root(str(top)), BuildOptions(**options))  # type: ignore[arg-type]


def added(selection: Selection) -> dict[str, str]:
    """What is there for scanners: the bytes that the build made, ``kept``, or ``-> target``."""
    return {
        path: entry.content.decode() if entry.content is not None
        else f"-> {entry.target}" if entry.target else "kept"
        for path, entry in selection.entries.items()
        if Reason.PACKAGE_METADATA in entry.reasons or path.endswith(("-release", "_version"))
    }  # fmt: skip


DEBIAN: World = {
    "/lib": "-> usr/lib",
    "/usr/lib/liba.so.1": "",
    "/usr/lib/liba.so.1.2": "",
    "/usr/lib/os-release": "ID=debian\n",
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/etc/debian_version": "12.11\n",
    "/etc/a.conf": "",
    "/usr/bin/b": "",
    "/usr/bin/tool.real": "a's",
    "/usr/bin/tool": "b's",
    "/usr/share/doc/a": "-> common",
    "/usr/share/doc/common/copyright": "of the common part",
    "/usr/share/doc/b/copyright": "of b",
    "/usr/share/doc/release/copyright": "of release",
    "/srv/own": "no package's",
    "/var/lib/dpkg/status": """Package: a
Status: install ok installed
Architecture: amd64
Source: aaa (1:2-3)
Version: 1:2-3+b1
Config-Version: 1:2-2
Depends: libc6
Conffiles:
 /etc/a.conf d41d8cd98f00b204e9800998ecf8427e
Description: short
 and long
Homepage: https://a.example

Package: b
Status: install ok installed
Architecture: all
Version: 4

Package: common
Status: install ok installed
Architecture: all
Version: 5

Package: release
Status: install ok installed
Architecture: all
Version: 6

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 7
""",
    "/var/lib/dpkg/info/a:amd64.list": (
        "/.\n/etc\n/etc/a.conf\n/lib\n/lib/liba.so.1\n/lib/liba.so.1.2\n/usr/bin/tool\n"
        "/usr/share/doc/a\n"
    ),
    "/var/lib/dpkg/info/a:amd64.md5sums": (
        "0a  lib/liba.so.1\n0b  lib/liba.so.1.2\n0c  usr/bin/tool\n"
    ),
    "/var/lib/dpkg/info/b.list": (
        "/.\n/lib\n/usr/bin/b\n/usr/bin/tool\n/usr/share/doc/b/copyright\n"
    ),
    "/var/lib/dpkg/info/b.md5sums": (
        "0d  usr/bin/b\n0e  usr/bin/tool\n0f  usr/share/doc/b/copyright\n"
    ),
    "/var/lib/dpkg/info/common.list": "/.\n/usr/share/doc/common/copyright\n",
    "/var/lib/dpkg/info/release.list": (
        "/.\n/etc/os-release\n/usr/lib/os-release\n/etc/debian_version\n"
        "/usr/share/doc/release/copyright\n"
    ),
    "/var/lib/dpkg/info/gone.list": "/usr/bin/b\n",
    "/var/lib/dpkg/diversions": "/usr/bin/tool\n/usr/bin/tool.real\nb\n",
}
STATUS_D, INFO = "/var/lib/dpkg/status.d", "/var/lib/dpkg/info"
RELEASE = {
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/usr/lib/os-release": "kept",
    "/etc/debian_version": "kept",
    "/usr/share/doc/release/copyright": "kept",
    f"{STATUS_D}/release": "Package: release\nArchitecture: all\nVersion: 6\n",
    f"{INFO}/release.list": (
        "/etc/os-release\n/usr/lib/os-release\n/etc/debian_version\n"
        "/usr/share/doc/release/copyright\n"
    ),
}
OF_A = {
    f"{STATUS_D}/a": (
        "Package: a\nArchitecture: amd64\nSource: aaa (1:2-3)\nVersion: 1:2-3+b1\n"
        "Depends: libc6\nDescription: short\n and long\nHomepage: https://a.example\n"
    ),
    # Its copyright lies with another package, which then owns something in the image.
    "/usr/share/doc/a": "-> common",
    "/usr/share/doc/common/copyright": "kept",
    f"{STATUS_D}/common": "Package: common\nArchitecture: all\nVersion: 5\n",
    f"{INFO}/common.list": "/usr/share/doc/common/copyright\n",
}
OF_B = {
    f"{STATUS_D}/b": "Package: b\nArchitecture: all\nVersion: 4\n",
    "/usr/share/doc/b/copyright": "kept",
}
# touched, what is added beside the release
DPKG_PARTS: list[tuple[str, dict[str, str]]] = [
    ("/srv/own", {}),
    (
        "/lib/liba.so.1",
        {
            **OF_A,
            f"{STATUS_D}/a.md5sums": "0a  lib/liba.so.1\n",
            f"{INFO}/a.list": "/lib/liba.so.1\n/usr/share/doc/a\n",
        },
    ),
    (
        "/etc/a.conf",
        {
            **OF_A,
            f"{STATUS_D}/a.md5sums": "",
            f"{INFO}/a.list": "/etc/a.conf\n/usr/share/doc/a\n",
        },
    ),
    (
        "/usr/bin/tool.real",
        {
            **OF_A,
            f"{STATUS_D}/a.md5sums": "0c  usr/bin/tool\n",
            f"{INFO}/a.list": "/usr/bin/tool.real\n/usr/share/doc/a\n",
        },
    ),
    (
        "/usr/bin/tool",
        {
            **OF_B,
            f"{STATUS_D}/b.md5sums": "0e  usr/bin/tool\n0f  usr/share/doc/b/copyright\n",
            f"{INFO}/b.list": "/usr/bin/tool\n/usr/share/doc/b/copyright\n",
        },
    ),
]


@pytest.mark.parametrize(("path", "expected"), DPKG_PARTS, ids=[row[0] for row in DPKG_PARTS])
def test_the_part_of_dpkg(tmp_path: Path, path: str, expected: dict[str, str]) -> None:
    plant(tmp_path, DEBIAN)
    assert added(selected(tmp_path, path)) == {**RELEASE, **expected}


def test_what_is_made_has_the_databases_time_and_roots_ownership(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    os.utime(tmp_path / "var/lib/dpkg/status", (TIME + 5, TIME + 5))
    entries = selected(tmp_path, "/usr/bin/b").entries
    for path in (f"{STATUS_D}/b", f"{STATUS_D}/b.md5sums", f"{INFO}/b.list"):
        entry = entries[path]
        assert (entry.mode, entry.uid, entry.gid) == (0o644, 0, 0)
        assert (entry.mtime_ns, entry.source) == ((TIME + 5) * 10**9, None)
    folder = entries[STATUS_D]
    assert (folder.mode, folder.mtime_ns) == (0o755, (TIME + 5) * 10**9)


def test_packages_of_two_architectures_have_a_file_each(tmp_path: Path) -> None:
    tree = dict(DEBIAN)
    stanza = "Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 1:2-3+b1\n"
    tree["/var/lib/dpkg/status"] = f"{DEBIAN['/var/lib/dpkg/status']!s}\n{stanza}"
    tree["/var/lib/dpkg/info/a:i386.list"] = "/lib/liba.so.32\n/usr/share/doc/a\n"
    tree["/usr/lib/liba.so.32"] = ""
    plant(tmp_path, tree)
    one = added(selected(tmp_path, "/lib/liba.so.32"))
    assert one[f"{STATUS_D}/a"] == "Package: a\nArchitecture: i386\nVersion: 1:2-3+b1\n"
    both = added(selected(tmp_path, "/lib/liba.so.32", "/lib/liba.so.1"))
    assert {path for path in both if path.startswith(f"{STATUS_D}/a")} == {
        f"{STATUS_D}/a:amd64",
        f"{STATUS_D}/a:amd64.md5sums",
        f"{STATUS_D}/a:i386",
    }


def test_a_slim_image_is_a_full_image_too(tmp_path: Path) -> None:
    """``status.d`` is read and written: a package that nothing is kept of is gone the next time."""
    top = plant(tmp_path / "full", DEBIAN)
    first = selected(top, "/usr/bin/b", "/lib/liba.so.1")
    for path, entry in first.entries.items():
        if entry.content is not None:
            plant(top, {path: entry.content})
    for name in ("status", "diversions"):
        (top / f"var/lib/dpkg/{name}").unlink()
    again = added(selected(top, "/usr/bin/b"))
    assert {path for path in again if path.startswith(STATUS_D)} == {
        f"{STATUS_D}/b",
        f"{STATUS_D}/b.md5sums",
        f"{STATUS_D}/release",
    }
    assert again[f"{STATUS_D}/b"] == added(first)[f"{STATUS_D}/b"]


def test_a_database_that_the_app_reads_stays_whole_and_alone(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    selection = selected(tmp_path, "/var/lib/dpkg/status", "/usr/bin/b")
    assert {path for path in selection.entries if path.startswith("/var/lib/dpkg/")} == {
        "/var/lib/dpkg/info",
        "/var/lib/dpkg/info/b.list",
        "/var/lib/dpkg/info/b.md5sums",
        "/var/lib/dpkg/info/release.list",
        "/var/lib/dpkg/status",
    }
    assert selection.entries["/var/lib/dpkg/status"].source is not None
    (warning,) = selection.warnings
    assert warning.startswith("/var/lib/dpkg/status was touched or included")


def test_what_the_user_excludes_is_not_added(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    selection = selected(tmp_path, "/usr/bin/b", exclude=("/usr/share/doc", "/var/lib/dpkg/info"))
    assert set(added(selection)) == {
        *("/etc/os-release", "/usr/lib/os-release", "/etc/debian_version"),
        *(f"{STATUS_D}/{name}" for name in ("b", "b.md5sums", "release")),
    }
    assert selection.warnings == ()
    bare = selected(tmp_path, "/usr/bin/b", package_metadata=False, baseline=False)
    assert added(bare) == {}


def test_what_is_excluded_has_no_package(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    out = ("/usr/bin/b", "/usr/share/doc/common")
    parts = added(selected(tmp_path, "/usr/bin/b", "/lib/liba.so.1", exclude=out))
    names = {path.rpartition("/")[2] for path in parts if path.startswith(STATUS_D)}
    assert names == {"a", "a.md5sums", "release"}


def test_a_database_of_strange_names_leads_nowhere(tmp_path: Path) -> None:
    tree = dict(DEBIAN)
    status = str(tree["/var/lib/dpkg/status"])
    tree["/var/lib/dpkg/status"] = status.replace("Package: b\n", "Package: ../../../etc/b\n")
    tree["/var/lib/etc/b.list"] = "/usr/bin/b\n"
    plant(tmp_path, tree)
    parts = added(selected(tmp_path, "/usr/bin/b"))
    assert not [path for path in parts if "etc/b" in path or ".." in path]


def test_there_is_none_without_a_package_database(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/os-release": "ID=none", "/app": "", "/usr/share/doc/app/copyright": ""})
    assert added(selected(tmp_path, "/app")) == {"/etc/os-release": "kept"}


def test_a_database_that_cannot_be_read_is_warned_of(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/lib/rpm/Packages": "", "/app": ""})
    selection = selected(tmp_path, "/app")
    assert added(selection) == {}
    (warning,) = selection.warnings
    assert "no package metadata" in warning
    assert "cannot read /var/lib/rpm/Packages: it is a Berkeley database" in warning


ALPINE: World = {
    "/etc/alpine-release": "3.20.3\n",
    "/etc/os-release": 'ID=alpine\nVERSION_ID=3.20.3\nNAME="Alpine Linux"\n',
    "/usr/lib/libz.so.1": "-> libz.so.1.3",
    "/usr/lib/libz.so.1.3": "z",
    "/usr/share/zlib/data": "d",
    "/bin/busybox": "b",
    "/lib/apk/db/installed": """C:Q1abc=
P:zlib
V:1.3.1-r1
A:x86_64
o:zlib
L:Zlib
F:usr
F:usr/lib
M:0:0:755
R:libz.so.1
a:0:0:777
Z:Q1x=
R:libz.so.1.3
Z:Q1y=
F:usr/share/zlib
R:data
Z:Q1z=

C:Q1def=
P:busybox
V:1.36.1-r29
A:x86_64
F:bin
R:busybox
a:0:0:755
Z:Q1w=

C:Q1ghi=
P:alpine-release
V:3.20.3-r0
A:x86_64
F:etc
R:alpine-release
R:os-release

""",
}
INSTALLED = """C:Q1abc=
P:zlib
V:1.3.1-r1
A:x86_64
o:zlib
L:Zlib
F:usr/lib
M:0:0:755
R:libz.so.1
a:0:0:777
Z:Q1x=
R:libz.so.1.3
Z:Q1y=

C:Q1ghi=
P:alpine-release
V:3.20.3-r0
A:x86_64
F:etc
R:alpine-release
R:os-release

"""


def test_the_part_of_apk(tmp_path: Path) -> None:
    plant(tmp_path, ALPINE)
    assert added(selected(tmp_path, "/usr/lib/libz.so.1")) == {
        "/etc/alpine-release": "kept",
        "/etc/os-release": "kept",
        "/lib/apk/db/installed": INSTALLED,
    }


def test_a_scanner_knows_alpine(tmp_path: Path, shared: Path) -> None:
    top = plant(tmp_path / "full", ALPINE)
    assert scan(shared, top).of("apk") == {"zlib", "busybox", "alpine-release"}
    found = scan(shared, built(tmp_path, top, "/usr/lib/libz.so.1"))
    assert found.system == "alpine 3.20.3"
    assert found.packages == {
        "pkg:apk/alpine/zlib@1.3.1-r1",
        "pkg:apk/alpine/alpine-release@3.20.3-r0",
    }


def built(folder: Path, top: Path, *touched: str) -> Path:
    """The slim tree of what was touched in a full image."""
    slim = folder / "slim"
    RootfsDestination(str(slim)).write(None, selected(top, *touched).entries.values())  # type: ignore[arg-type]
    return slim


SPECS = {
    "tiny": SPEC,
    "other": SPEC.replace("tiny", "other").replace("Epoch: 7\n", ""),
    "fedora-release": """
Name: fedora-release
Version: 40
Release: 1
Summary: release
License: MIT
BuildArch: noarch
%description
release
%install
mkdir -p %{buildroot}/etc %{buildroot}/usr/lib
printf 'ID=fedora\\nVERSION_ID=40\\nNAME=Fedora\\n' > %{buildroot}/usr/lib/os-release
echo "Fedora release 40 (Forty)" > %{buildroot}/etc/fedora-release
ln -s ../usr/lib/os-release %{buildroot}/etc/os-release
%files
/etc/*
/usr/lib/os-release
""",
}
RPM = "/var/lib/rpm"


@pytest.fixture(scope="module")
def fedora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root into which rpm installed three packages."""
    need("rpmbuild", "rpm")
    need_root()
    folder = tmp_path_factory.mktemp("fedora")
    for name, spec in SPECS.items():
        (folder / f"{name}.spec").write_text(spec)
        define = ("--define", f"_topdir {folder}/top")
        run("rpmbuild", "--quiet", "-bb", *define, str(folder / f"{name}.spec"))
    packages = [str(path) for path in (folder / "top/RPMS/noarch").iterdir()]
    (folder / "root").mkdir()
    run(*rpm(folder / "root"), "-i", "--nodeps", *sorted(packages))
    return folder / "root"


def rpm(root: Path) -> tuple[str, ...]:
    return ("rpm", "--root", str(root), "--dbpath", RPM)


def test_the_part_of_rpm(tmp_path: Path, fedora: Path) -> None:
    selection = selected(fedora, "/usr/bin/tiny")
    kept = {"/etc/fedora-release", "/etc/os-release", "/usr/lib/os-release"}
    assert {
        path
        for path, entry in selection.entries.items()
        if Reason.PACKAGE_METADATA in entry.reasons or path.endswith(("-release", "_version"))
    } == {*kept, f"{RPM}/rpmdb.sqlite"}
    slim = built(tmp_path, fedora, "/usr/bin/tiny")
    assert run(*rpm(fedora), "-qa").split() != run(*rpm(slim), "-qa").split()
    assert sorted(run(*rpm(slim), "-qa").split()) == [
        "fedora-release-40-1.noarch",
        "tiny-1.2-3.noarch",
    ]
    for query in (("-ql", "tiny"), ("-qi", "tiny"), ("-qf", "/usr/bin/tiny")):
        assert run(*rpm(slim), *query) == run(*rpm(fedora), *query)


def test_the_part_of_rpm_has_the_same_bytes_each_time(fedora: Path) -> None:
    places = [selected(fedora, "/usr/bin/tiny").entries[f"{RPM}/rpmdb.sqlite"] for _ in range(2)]
    assert places[0].content == places[1].content
    content = places[0].content or b""
    assert content[18:20] == b"\1\1", "no log is needed to read it (Database File Format, 1.3)"
    assert b"other" not in content
    database = sqlite3.connect(":memory:")
    database.deserialize(content)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT count(*) FROM Packages").fetchall() == [(2,)]
    database.close()


def test_a_scanner_knows_fedora(tmp_path: Path, shared: Path, fedora: Path) -> None:
    assert scan(shared, fedora).of("rpm") == {"tiny", "other", "fedora-release"}
    found = scan(shared, built(tmp_path, fedora, "/usr/bin/tiny"))
    assert found.system == "fedora 40"
    assert found.packages == {
        "pkg:rpm/fedora/tiny@1.2-3",
        "pkg:rpm/fedora/fedora-release@40-1",
    }
