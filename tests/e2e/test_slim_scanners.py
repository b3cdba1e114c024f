"""The packages that a real scanner finds in slim images of real apps, compared with dpkg's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from requirements import need, need_root
from traces import run_slimtrace
from trivy import scan
from umoci_images import run_command, unpack_image

PYTHON = "import flask, tiny; flask.Flask('app'); print(tiny.__name__)"
NODE = "console.log(require('ms')('1s'), require('/app/js/node_modules/tiny-dep'))"
MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
"""Symlinks to /usr: for dpkg, they are directories of many packages."""


class Built(NamedTuple):
    """The traces of three apps, and the trees of the full and the slim image."""

    trace: str
    env: dict[str, str]
    full: Path
    slim: Path


@pytest.fixture(scope="module")
def built(
    full: str, shared: Path, cached: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Built:
    """Build an image with Debian's Flask and node module, and with packages of pip and npm."""
    need_root()
    need("npm")
    folder = tmp_path_factory.mktemp("scanners")
    image = _with_languages(full, folder)
    port = (shared / "port").read_text()
    runs = {
        ("python3", "-c", PYTHON): ("-e", "PYTHONPATH=/app/site"),
        ("node", "-e", NODE): (),
        ("nginx", "-c", "/app/nginx.conf"): (
            "--ready",
            f"http://127.0.0.1:{port}/",
            "--stop-after",
            "0.1",
        ),
    }
    trace = f"{folder}/trace"
    for command, options in runs.items():
        arguments = (
            "-q",
            "run",
            "--image",
            image,
            "-o",
            trace,
            "--append",
            *options,
            "--",
            *command,
        )
        done = run_slimtrace(*arguments, env=cached)
        assert done.returncode == 0, done.stderr
    slim = f"oci:{folder}/slim:latest"
    done = run_slimtrace("build", trace, "-o", slim, "--json", env=cached)
    assert done.returncode == 0, done.stderr
    trees = (unpack_image(image, folder / "full-tree"), unpack_image(slim, folder / "slim-tree"))
    return Built(trace, cached, *trees)


def _with_languages(full: str, folder: Path) -> str:
    """Add a layer with packages of pip and npm to the full image."""
    layout = shutil.copytree(full.removeprefix("oci:").removesuffix(":latest"), folder / "full")
    app = folder / "layer/app"
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "")
        info = "tiny-1.0.dist-info"
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        names = ("tiny.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        file.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps")
    run_command(*pip, "--target", str(app / "site"), str(wheel))
    source = folder / "tiny-dep"
    source.mkdir()
    (source / "package.json").write_text('{"name": "tiny-dep", "version": "2.0.0"}')
    (source / "index.js").write_text("module.exports = 'dep'")
    run_command("npm", "pack", "--silent", cwd=source)
    (app / "js").mkdir()
    (app / "js/package.json").write_text('{"name": "app", "version": "0.0.1", "private": true}')
    npm = ("npm", "install", "--silent", "--offline", "--no-audit", "--no-fund")
    run_command(*npm, str(source / "tiny-dep-2.0.0.tgz"), cwd=app / "js")
    layer = folder / "layer.tar"
    run_command(
        "tar", "--owner=0", "--group=0", "-C", str(folder / "layer"), "-cf", str(layer), "app"
    )
    run_command("umoci", "raw", "add-layer", "--image", f"{layout}:latest", str(layer))
    return f"oci:{layout}:latest"


def owners(built: Built) -> set[str]:
    """Find the kept files' packages with dpkg: by path, and by the path before the /usr merge."""
    paths = []
    for folder, _, names in os.walk(built.slim):
        paths += [os.path.join(folder, name) for name in names]
        links = [name for name in os.listdir(folder) if Path(folder, name).is_symlink()]
        paths += [os.path.join(folder, name) for name in links if folder != str(built.slim)]
    own = {path.removeprefix(str(built.slim)) for path in paths}
    assert not [path for path in own if set(path) & set("*?[\\")], "dpkg reads these as patterns"
    own |= {path.removeprefix("/usr") for path in own if path.startswith("/usr/")}
    admin = f"--admindir={built.full}/var/lib/dpkg"
    asked = ["dpkg-query", admin, "-S", *sorted(own)]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    found: set[str] = set()
    for line in done.stdout.splitlines():
        listed, _, path = line.partition(": /")
        if not line.startswith("diversion ") and path not in MERGED:
            found.update(name.partition(":")[0] for name in listed.split(", "))
    return found


def versions(built: Built, names: set[str]) -> set[str]:
    """Return the packages as purls, by dpkg; trivy reports the epoch separately."""
    argv = ("dpkg-query", f"--admindir={built.full}/var/lib/dpkg", "-W")
    output = run_command(*argv, "-f", "${Package} ${Version}\n").splitlines()
    installed = dict(line.split() for line in output)
    return {f"pkg:deb/debian/{name}@{installed[name].rpartition(':')[2]}" for name in names}


def test_a_scanner_finds_exactly_the_packages_of_what_is_kept(built: Built, shared: Path) -> None:
    found = scan(shared, built.slim)
    assert found.system.startswith("debian 12")
    expected = owners(built)
    assert found.of("deb") == expected
    assert expected > {"libc6", "python3-flask", "nodejs", "node-ms", "nginx", "base-files"}
    others = {"pkg:pypi/tiny@1.0", "pkg:npm/tiny-dep@2.0.0", "pkg:npm/app@0.0.1"}
    assert found.packages == versions(built, expected) | others


def test_checksums_tell_a_scanner_which_files_debian_packages(
    built: Built, shared: Path, tmp_path: Path
) -> None:
    """Without them, it finds Flask twice; this shows that the scanner reads language packages."""
    run_command("cp", "-r", str(built.slim), str(tmp_path / "slim"))
    for listing in (tmp_path / "slim/var/lib/dpkg/info").glob("*.list"):
        listing.unlink()
    assert scan(shared, tmp_path / "slim").of("pypi") > {"tiny", "flask"}


def test_checksums_are_those_of_the_full_image_for_kept_files(built: Built) -> None:
    admin = built.slim / "var/lib/dpkg"
    names = {path.name.removesuffix(".md5sums") for path in (admin / "status.d").iterdir()}
    assert names == owners(built)
    checked = 0
    for name in names:
        lines = (admin / f"status.d/{name}.md5sums").read_text().splitlines()
        for line in lines:
            digest, _, path = line.partition("  ")
            content = (built.slim / path).read_bytes()
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest, path
            assert f"/{path}" in (admin / f"info/{name}.list").read_text().splitlines()
        checked += len(lines)
    assert checked > 500


def test_every_package_of_the_slim_image_has_its_copyright(built: Built) -> None:
    for name in owners(built):
        path = f"usr/share/doc/{name}/copyright"
        assert (built.full / path).exists() == (built.slim / path).exists(), name


def test_the_package_metadata_is_reproducible_and_can_be_left_out(
    built: Built, tmp_path: Path
) -> None:
    reports = []
    for name, options in {"a": (), "b": (), "without": ("--no-package-metadata",)}.items():
        arguments = ("build", built.trace, "-o", f"oci:{tmp_path}/{name}", "--json", *options)
        done = run_slimtrace(*arguments, env=built.env)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    assert reports[0]["image"]["digest"] == reports[1]["image"]["digest"]
    assert reports[0]["reasons"]["package-metadata"] > 100
    assert "package-metadata" not in reports[2]["reasons"]
    spared = reports[0]["image"]["size"] - reports[2]["image"]["size"]
    assert 0 < spared < 400_000
