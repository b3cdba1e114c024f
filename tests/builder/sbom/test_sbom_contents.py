"""The contents of SBOMs of small images, in both formats."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from build_fixtures import TIME, make_root, make_trace
from engine import compile_static
from sboms import describe_cyclonedx, describe_spdx, read_cyclonedx, read_spdx
from traces import run_slimtrace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.images.reference import parse_reference
from slimtrace.builder.model import Keep
from slimtrace.builder.packages.package import Package
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.builder.sbom.bom import Distribution, KeptFile, SbomFormat, Subject
from slimtrace.builder.sbom.checksums import Checksums
from slimtrace.builder.sbom.collect import collect_facts
from slimtrace.builder.sbom.purl import make_package_purl
from slimtrace.builder.sbom.render import render
from slimtrace.builder.sbom.subject import SubjectName, find_subject_name, make_subject

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.sbom.bom import BillOfMaterials

WORLD: dict[str, str | bytes | None] = {
    "/lib": "-> usr/lib",
    "/usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/usr/lib/liba.so.1": "a library",
    "/usr/lib/liba.so": "-> liba.so.1",
    "/usr/lib/python3/dist-packages/tool.py": "x = 1",
    "/usr/lib/python3/dist-packages/tool-1.dist-info/METADATA": "Name: tool\nVersion: 1\n",
    "/usr/lib/python3/dist-packages/tool-1.dist-info/RECORD": "tool.py,,\n",
    "/usr/share/a/unused": "",
    "/opt/site-packages/own.py": "",
    "/opt/site-packages/rest.py": "",
    "/opt/site-packages/Own_Part-2.0.dist-info/METADATA": "Name: Own_Part\nVersion: 2.0\n",
    "/opt/site-packages/Own_Part-2.0.dist-info/RECORD": (
        "own.py,,\nrest.py,,\nOwn_Part-2.0.dist-info/METADATA,,\n"
    ),
    "/srv/app": "the app",
    "/srv/\udcff": "",
    "/var/lib/dpkg/status": (
        "Package: a\nStatus: install ok installed\nArchitecture: amd64\n"
        "Source: aaa (1:2-3)\nVersion: 1:2-3+b1\n\n"
        "Package: python3-tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1-1\n\n"
        "Package: unused\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
    ),
    "/var/lib/dpkg/info/a.list": (
        "/.\n/lib\n/lib/liba.so\n/lib/liba.so.1\n/usr/share/a\n/usr/share/a/unused\n/usr/gone\n"
    ),
    "/var/lib/dpkg/info/python3-tool.list": "/usr/lib/python3/dist-packages/tool.py\n",
    "/var/lib/dpkg/info/unused.list": "/usr/share/unused\n",
}
TOUCHED = (
    *("/lib/liba.so.1", "/usr/lib/python3/dist-packages/tool.py"),
    *("/opt/site-packages/own.py", "/srv/app"),
)
DIGEST = f"sha256:{'0' * 63}1"
IMAGE = make_subject(
    SubjectName("example.org/team/app", "1.0"),
    DIGEST,
    {"created": "2024-05-06T07:08:09.5+02:00", "architecture": "amd64"},
    0,
)


def facts(top: Path, *touched: str, is_full: bool = True) -> BillOfMaterials:
    root = Root(str(top))
    options = BuildOptions(
        package_metadata=False,
        baseline=False,
        keep=Keep.CLOSURE,
        without_rules=("python-metadata",),
    )
    selection = select(make_trace(top, touched), root, options)
    return collect_facts(IMAGE, selection.entries, Checksums(), root, is_full=is_full)


def read(top: Path, bill: BillOfMaterials, chosen: SbomFormat) -> dict[str, Any]:
    path = f"{top}/x{chosen.suffix}"
    with open(path, "wb") as file:
        file.write(render(bill, chosen))
    return (read_spdx if chosen is SbomFormat.SPDX else read_cyclonedx)(path)


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


IN_WORDS: dict[str, dict[str, Any]] = {
    "image": {
        "purl": f"pkg:oci/app@{DIGEST.replace(':', '%3A')}?arch=amd64"
        "&repository_url=example.org/team/app&tag=1.0",
        "files": {"/srv/app": digest("the app")},
        "left out": None,
    },
    "a": {
        "purl": "pkg:deb/debian/a@1:2-3%2Bb1?arch=amd64&distro=debian-12&upstream=aaa%401:2-3",
        "files": {"/usr/lib/liba.so.1": digest("a library")},
        "left out": ["/usr/lib/liba.so", "/usr/share/a/unused"],
    },
    "python3-tool": {
        "purl": "pkg:deb/debian/python3-tool@1-1?arch=all&distro=debian-12",
        "files": {"/usr/lib/python3/dist-packages/tool.py": digest("x = 1")},
        "left out": [],
    },
    "Own_Part": {
        "purl": "pkg:pypi/own-part@2.0",
        "files": {"/opt/site-packages/own.py": digest("")},
        "left out": [
            "/opt/site-packages/Own_Part-2.0.dist-info/METADATA",
            "/opt/site-packages/rest.py",
        ],
    },
}


@pytest.mark.parametrize("chosen", SbomFormat)
def test_packages_their_files_and_what_was_left_out(tmp_path: Path, chosen: SbomFormat) -> None:
    bill = facts(make_root(tmp_path / "full", WORLD), *TOUCHED)
    document = read(tmp_path, bill, chosen)
    packages = (
        describe_spdx(document) if chosen is SbomFormat.SPDX else describe_cyclonedx(document)
    )
    plain = {
        name: {**details, "purl": _plain(details["purl"])} for name, details in packages.items()
    }
    assert plain == {
        name: {**details, "purl": _plain(details["purl"])} for name, details in IN_WORDS.items()
    }


def _plain(purl: str) -> str:
    """The library decides how ``:`` and ``/`` are encoded."""
    return purl.replace("%3A", ":").replace("%2F", "/")


def test_without_the_full_image_nothing_is_said_of_what_was_left_out(tmp_path: Path) -> None:
    bill = facts(make_root(tmp_path / "full", WORLD), *TOUCHED, is_full=False)
    for packages in (
        describe_spdx(read(tmp_path, bill, SbomFormat.SPDX)),
        describe_cyclonedx(read(tmp_path, bill, SbomFormat.CYCLONEDX)),
    ):
        assert {details["left out"] for details in packages.values()} == {None}
        assert packages["a"]["files"] == IN_WORDS["a"]["files"]


def test_the_image_of_spdx(tmp_path: Path) -> None:
    document = read(tmp_path, facts(make_root(tmp_path / "full", WORLD), *TOUCHED), SbomFormat.SPDX)
    assert document["documentDescribes"] == ["SPDXRef-Image"]
    assert document["creationInfo"]["created"] == "2024-05-06T05:08:09Z"
    image = document["packages"][0]
    assert (image["name"], image["versionInfo"]) == ("app", DIGEST)
    assert image["primaryPackagePurpose"] == "CONTAINER"
    relations = [
        (one["spdxElementId"], one["relationshipType"]) for one in document["relationships"]
    ]
    assert relations.count(("SPDXRef-Image", "CONTAINS")) == 4  # three packages and /srv/app
    source = {each["name"]: each.get("sourceInfo") for each in document["packages"]}
    assert source["a"] == "built from the source package aaa 1:2-3"
    assert source["python3-tool"] is None


def test_the_image_of_cyclonedx(tmp_path: Path) -> None:
    document = read(
        tmp_path, facts(make_root(tmp_path / "full", WORLD), *TOUCHED), SbomFormat.CYCLONEDX
    )
    image = document["metadata"]["component"]
    assert (image["type"], image["name"], image["version"]) == ("container", "app", DIGEST)
    (system,) = (each for each in document["components"] if each["type"] == "operating-system")
    assert (system["name"], system["version"]) == ("debian", "12")
    depends = {each["ref"]: each.get("dependsOn") for each in document["dependencies"]}
    assert len(depends["image"]) == 4


def test_the_same_facts_give_the_same_document_and_others_another_identity(tmp_path: Path) -> None:
    top = make_root(tmp_path / "full", WORLD)
    for chosen, name in {
        SbomFormat.SPDX: "documentNamespace",
        SbomFormat.CYCLONEDX: "serialNumber",
    }.items():
        one, again = (render(facts(top, *paths), chosen) for paths in (TOUCHED, TOUCHED[::-1]))
        assert one == again
        read_again = read(tmp_path, facts(top, *TOUCHED), chosen)
        other = read(tmp_path, facts(top, *TOUCHED, is_full=False), chosen)
        assert read_again[name] != other[name]


def test_what_json_cannot_hold(tmp_path: Path) -> None:
    """A name that is not UTF-8, and an image without digest and distribution."""
    top = make_root(tmp_path / "full", {"/srv/\udcff": "x"})
    bill = facts(top, "/srv/\udcff")
    nameless = make_subject(
        find_subject_name(parse_reference(f"rootfs:{top}")), None, {}, TIME * 10**9
    )
    root = Root(str(top))
    selection = select(make_trace(top, ("/srv/\udcff",)), root, BuildOptions(baseline=False))
    bill = collect_facts(nameless, selection.entries, Checksums(), root, is_full=True)
    assert bill.subject == Subject("image", None, None, "2023-11-14T22:13:20Z")
    document = read(tmp_path, bill, SbomFormat.SPDX)
    assert [file["fileName"] for file in document["files"]] == ["./srv/\\xff"]
    assert "purl" not in read(tmp_path, bill, SbomFormat.CYCLONEDX)["metadata"]["component"]


def test_a_file_is_read_once_and_its_links_with_it(tmp_path: Path) -> None:
    top = make_root(tmp_path / "full", {"/a": "content"})
    os.link(top / "a", top / "b")
    root, sums = Root(str(top)), Checksums()
    assert b"".join(sums.read(root.entry("/a", ()))) == b"content"
    link = root.entry("/b", ())
    (top / "a").unlink()
    (top / "b").unlink()
    sha1 = hashlib.sha1(b"content", usedforsecurity=False).hexdigest()
    assert sums.hash_file(link) == KeptFile("/b", digest("content"), sha1)


DEBIAN = Distribution("debian", "12", "Debian")


@pytest.mark.parametrize(
    ("package", "distribution", "purl"),
    [
        (
            Package("deb", "libc6", "2.36-9", "amd64", "glibc", "2.36-9"),
            DEBIAN,
            "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc",
        ),
        (
            Package("apk", "musl", "1.2-r4", "x86_64", "musl", "1.2-r4"),
            Distribution("alpine", "3.19", ""),
            "pkg:apk/alpine/musl@1.2-r4?arch=x86_64&distro=alpine-3.19",
        ),
        (
            Package("rpm", "vim", "2:9-1.el9", "x86_64", "vim-9-1.el9.src.rpm", "2:9-1.el9"),
            Distribution("rocky", "9", ""),
            (
                "pkg:rpm/rocky/vim@9-1.el9?arch=x86_64&distro=rocky-9&epoch=2"
                "&upstream=vim-9-1.el9.src.rpm"
            ),
        ),
        (Package("deb", "x", "1"), None, "pkg:deb/x@1"),
        (Package("pypi", "Flask_Thing", "1.0"), DEBIAN, "pkg:pypi/flask-thing@1.0"),
        (Package("npm", "@a/b", "1.0"), DEBIAN, "pkg:npm/%40a/b@1.0"),
        (Package("npm", "@a/", "1.0"), DEBIAN, "pkg:npm/%40a@1.0"),
        (Package("deb", "a\udcff", "1"), None, "pkg:deb/a%EF%BF%BD@1"),
        (Package("npm", "plain", ""), DEBIAN, "pkg:npm/plain"),
        (Package("gem", "rack", "3", "java"), DEBIAN, "pkg:gem/rack@3?platform=java"),
    ],
)
def test_purls(package: Package, distribution: Distribution | None, purl: str) -> None:
    assert make_package_purl(package, distribution) == purl


@pytest.mark.parametrize(
    ("text", "tag", "name"),
    [
        ("app.tar", None, SubjectName("", "")),
        ("app.tar", "team/app:1", SubjectName("team/app", "1")),
        ("oci:dir:v1", None, SubjectName("", "v1")),
        ("oci:dir:app:v1", None, SubjectName("app", "v1")),
        ("docker-archive:a.tar:x.org:5/app", None, SubjectName("x.org:5/app", "")),
        ("docker://x.org:5/team/app:1", None, SubjectName("x.org:5/team/app", "1")),
        (f"docker://x.org/app@{DIGEST}", None, SubjectName("x.org/app", "")),
        ("containers-storage:app", None, SubjectName("app", "")),
        ("rootfs:/a:b", None, SubjectName("", "")),
    ],
)
def test_what_an_image_is_called(text: str, tag: str | None, name: SubjectName) -> None:
    assert find_subject_name(parse_reference(text), tag) == name


BUILD = ("build", "x.trace", "-o", "x.tar")


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (("--sbom", "spd", "x"), 2, "cannot write an SBOM as spd: choose spdx or cyclonedx"),
        (("--sbom", "spdx"), 2, "cannot use --sbom: FORMAT FILE is missing"),
        (
            ("--sbom", "spdx", "x", "--sbom", "cyclonedx", "x"),
            2,
            "cannot write two SBOMs to x",
        ),
        (("--sbom", "spdx", "none/x"), 125, "cannot write none/x: "),
        (("--embed-sbom", "spd"), 2, "cannot use --embed-sbom spd: choose spdx or cyclonedx"),
    ],
)
def test_words_that_make_no_sense(
    tmp_path: Path, argv: tuple[str, ...], status: int, message: str
) -> None:
    done = run_slimtrace(*BUILD, *argv, cwd=str(tmp_path))
    assert done.returncode == status
    assert message in done.stderr


def test_of_what_is_neither_trace_nor_image(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    for word, message in {
        "none.trace": "cannot read none.trace: No such file or directory",
        "./none": "cannot read ./none: No such file or directory",
        "text": "cannot read text: it is not a slimtrace trace",
        "oci:none": "cannot read oci:none: none is not a directory",
    }.items():
        done = run_slimtrace("sbom", word, cwd=str(tmp_path))
        assert (done.returncode, done.stdout) == (125, "")
        assert message in done.stderr


def test_slim_writes_it_once_of_what_it_gives(tmp_path: Path) -> None:
    compile_static(str(make_root(tmp_path / "full", {})), "int main(void) { return 0; }")
    image = ("--image", f"rootfs:{tmp_path}/full")
    argv = ("slim", *image, "-o", f"{tmp_path}/x.tar", "--trace", f"{tmp_path}/x.trace", "--json")
    sbom = ("--sbom", "spdx", f"{tmp_path}/x.spdx.json")
    done = run_slimtrace(*argv, *sbom, "--", "/program", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    document = read_spdx(tmp_path / "x.spdx.json")
    assert document["packages"][0]["versionInfo"] == report["image"]["digest"]
    assert [each["file"] for each in report["sboms"]] == [f"{tmp_path}/x.spdx.json"]
