"""The SBOMs of a real Debian app, compared with dpkg's output and with the files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest
from requirements import need, need_root
from sboms import describe_cyclonedx, describe_spdx, read_cyclonedx, read_spdx
from traces import run_slimtrace
from umoci_images import run_command, unpack_image

COMMAND = ("python3", "-c", "import flask; flask.Flask('app')")


class Built(NamedTuple):
    """The trace, the build's JSON, and the trees of the full and the slim image."""

    folder: Path
    trace: str
    env: dict[str, str]
    told: dict[str, object]
    full: Path
    slim: Path


@pytest.fixture(scope="module")
def built(full: str, cached: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Built:
    need_root()
    need("umoci", "dpkg-query")
    folder = tmp_path_factory.mktemp("sbom")
    trace, slim = f"{folder}/trace", f"oci:{folder}/slim:app:1"
    done = run_slimtrace("-q", "run", "--image", full, "-o", trace, "--", *COMMAND, env=cached)
    assert done.returncode == 0, done.stderr
    sboms = ("--sbom", "spdx", f"{folder}/spdx", "--sbom", "cyclonedx", f"{folder}/cyclonedx")
    done = run_slimtrace("build", trace, "-o", slim, "--json", *sboms, env=cached)
    assert done.returncode == 0, done.stderr
    trees = (unpack_image(full, folder / "full-tree"), unpack_image(slim, folder / "slim-tree"))
    return Built(folder, trace, cached, json.loads(done.stdout), *trees)


def files(top: Path) -> dict[str, str]:
    """The SHA-256 of every regular file in a tree."""
    found = {}
    for folder, _, names in os.walk(top):
        for path in (Path(folder, name) for name in names):
            if path.is_file() and not path.is_symlink():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[f"/{path.relative_to(top)}"] = digest
    return found


def owners(built: Built, paths: set[str]) -> dict[str, set[str]]:
    """The packages of each owned path, by dpkg, which also lists /usr/lib as /lib."""
    queried = paths | {path.removeprefix("/usr") for path in paths if path.startswith("/usr/")}
    argv = ["dpkg-query", f"--admindir={built.full}/var/lib/dpkg", "-S", *sorted(queried)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        names, _, path = line.partition(": ")
        own = path if path in paths else f"/usr{path}"
        found.setdefault(own, set()).update(name.partition(":")[0] for name in names.split(", "))
    return found


def list_installed_files(built: Built, name: str) -> set[str]:
    """The resolved paths of a package's files in the full image, without directories."""
    found = set()
    argv = ("dpkg-query", f"--admindir={built.full}/var/lib/dpkg", "-L", name)
    for line in run_command(*argv).splitlines():
        top = line.split("/")[1]
        path = f"/usr{line}" if (built.full / top).is_symlink() else line
        place = Path(f"{built.full}{path}")
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            found.add(path)
    return found


def test_both_tell_of_every_file_and_whose_it_is(built: Built) -> None:
    spdx = describe_spdx(read_spdx(built.folder / "spdx"))
    assert spdx == describe_cyclonedx(read_cyclonedx(built.folder / "cyclonedx"))
    there = files(built.slim)
    told = {path: digest for said in spdx.values() for path, digest in said["files"].items()}
    assert told == there
    of = owners(built, set(there))
    for name, said in spdx.items():
        for path in said["files"]:
            assert name in of[path] if name != "image" else path not in of, path
    assert spdx.keys() > {"libc6", "libpython3.11-stdlib", "python3-flask", "base-files"}
    version = run_command(
        "dpkg-query", f"--admindir={built.full}/var/lib/dpkg", "-W", "libc6"
    ).split()[1]
    purl = unquote(spdx["libc6"]["purl"])
    assert purl.startswith(f"pkg:deb/debian/libc6@{version}?arch=")
    assert purl.endswith("&distro=debian-12&upstream=glibc")


def test_what_was_left_out_is_what_dpkg_knows_and_the_image_lacks(built: Built) -> None:
    spdx = describe_spdx(read_spdx(built.folder / "spdx"))
    del spdx["image"]
    lacking = 0
    for name, said in spdx.items():
        here = {
            path
            for path in list_installed_files(built, name)
            if os.path.lexists(f"{built.slim}{path}")
        }
        assert set(said["left out"]) == list_installed_files(built, name) - here, name
        lacking += len(said["left out"])
    assert lacking > 1000
    assert "/usr/bin/flask" in spdx["python3-flask"]["left out"]


def test_documents_tell_of_the_image_that_was_built(built: Built) -> None:
    image = built.told["image"]
    assert isinstance(image, dict)
    spdx, cyclonedx = built.folder / "spdx", built.folder / "cyclonedx"
    assert built.told["sboms"] == [
        {"format": "spdx", "file": str(spdx), "attached": None},
        {"format": "cyclonedx", "file": str(cyclonedx), "attached": None},
    ]
    assert read_spdx(spdx)["packages"][0]["versionInfo"] == image["digest"]
    config = json.loads(
        run_command("skopeo", "inspect", "--config", f"oci:{built.folder}/slim:app:1")
    )
    assert read_cyclonedx(cyclonedx)["metadata"]["timestamp"] == config["created"]


def test_building_again_gives_the_same_and_no_other_image(built: Built, tmp_path: Path) -> None:
    slim = f"oci:{tmp_path}/other:app:1"
    argv = ("build", built.trace, "-o", slim, "--json")
    done = run_slimtrace(*argv, "--sbom", "spdx", f"{tmp_path}/again", env=built.env)
    assert done.returncode == 0, done.stderr
    plain = run_slimtrace(*argv, env=built.env)
    assert json.loads(done.stdout)["image"] == json.loads(plain.stdout)["image"]
    assert (tmp_path / "again").read_bytes() == (built.folder / "spdx").read_bytes()
    assert "sboms" not in json.loads(plain.stdout)


def test_of_an_image_and_of_a_trace(built: Built, tmp_path: Path) -> None:
    slim = f"oci:{built.folder}/slim:app:1"
    for name, argv in {
        "with": (slim, "--trace", built.trace),
        "alone": (slim,),
        "trace": (built.trace,),
    }.items():
        done = run_slimtrace("sbom", *argv, "-o", f"{tmp_path}/{name}", env=built.env)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "with").read_bytes() == (built.folder / "spdx").read_bytes()
    expected = describe_spdx(read_spdx(built.folder / "spdx"))
    alone = describe_spdx(read_spdx(tmp_path / "alone"))
    assert alone == {name: {**said, "left out": None} for name, said in expected.items()}
    trace = describe_spdx(read_spdx(tmp_path / "trace"))
    del trace["image"]["purl"], expected["image"]["purl"]  # it has no name
    assert trace == expected


def test_on_stdout(built: Built) -> None:
    slim = f"oci:{built.folder}/slim:app:1"
    done = run_slimtrace("sbom", slim, "--format", "cyclonedx", env=built.env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["specVersion"] == "1.6"


def test_an_embedded_one_tells_of_all_but_itself(built: Built, tmp_path: Path) -> None:
    slim = f"oci:{tmp_path}/slim:app:1"
    argv = ("build", built.trace, "--json", "--embed-sbom", "cyclonedx", "--embed-sbom", "spdx")
    told = []
    for name in (slim, f"docker-archive:{tmp_path}/other.tar"):
        done = run_slimtrace(*argv, "-o", name, env=built.env)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    assert told[0]["image"]["digest"] == told[1]["image"]["digest"]
    assert told[0]["reasons"]["sbom"] == 2
    top = unpack_image(slim, tmp_path / "tree")
    folder = top / "usr/share/sbom"
    assert sorted(os.listdir(folder)) == ["image.cdx.json", "image.spdx.json"]
    read_cyclonedx(folder / "image.cdx.json")
    document = read_spdx(folder / "image.spdx.json")
    inside = {file["fileName"][1:] for file in document["files"]}
    assert inside == files(top).keys() - {
        "/usr/share/sbom/image.cdx.json",
        "/usr/share/sbom/image.spdx.json",
    }
    verified = run_slimtrace("verify", slim, "--trace", built.trace, env=built.env)
    assert verified.returncode == 0, verified.stderr


def test_a_pushed_image_has_its_sbom_beside_it(built: Built, tmp_path: Path, registry: str) -> None:
    env = {**built.env, "HOME": os.environ["HOME"]}
    name = f"docker://{registry}/team/app"
    sbom = ("--sbom", "spdx", f"{tmp_path}/spdx")
    done = run_slimtrace("build", built.trace, "-o", f"{name}:1", "--json", *sbom, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    tag = told["image"]["digest"].replace(":", "-")
    (listed,) = json.loads(run_command("skopeo", "inspect", "--raw", f"{name}:{tag}"))["manifests"]
    assert listed["digest"] == told["sboms"][0]["attached"]
    run_command("skopeo", "copy", "-q", f"{name}@{listed['digest']}", f"dir:{tmp_path}/pulled")
    manifest = json.loads((tmp_path / "pulled/manifest.json").read_text())
    assert manifest["subject"]["digest"] == told["image"]["digest"]
    layer = manifest["layers"][0]["digest"].removeprefix("sha256:")
    assert (tmp_path / "pulled" / layer).read_bytes() == (tmp_path / "spdx").read_bytes()
    assert f"repository_url={registry}/team/app" in unquote((tmp_path / "spdx").read_text())
    again = run_slimtrace("sbom", f"{name}:1", "--trace", built.trace, env=env)
    assert again.stdout == (tmp_path / "spdx").read_text()
