"""Installation of the wheel and the source distribution, beside projects of any layout.

Downloads packages from the index that pip is configured for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from fcntl import LOCK_EX, flock
from typing import TYPE_CHECKING, NamedTuple

import orjson
import pytest
from repository import ROOT
from traces import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PIP_SECONDS = 600
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
NOT_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"),
    *("demo", ".work", "build", "dist"),
)
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
WITH_WHEELS = {"orjson": "3.10.7", "zstandard": "0.23.0"} if sys.version_info >= (3, 12) else {}
"""The oldest versions that have wheels for newer Pythons than slimtrace's oldest."""


class Distributions(NamedTuple):
    """The built distributions."""

    source: Path
    wheel: Path
    wheel_of_source: Path


@pytest.fixture(scope="module")
def distributions(shared: Path) -> Distributions:
    """Build both once for all workers, and the wheel of the source distribution."""
    folder = shared / "distributions"
    with open(f"{folder}.lock", "w") as lock:
        flock(lock, LOCK_EX)
        if not folder.exists():
            _build_all(folder, shared)
    (source,) = folder.glob("direct/*.tar.gz")
    (wheel,) = folder.glob("direct/*.whl")
    (wheel_of_source,) = folder.glob("again/*.whl")
    return Distributions(source, wheel, wheel_of_source)


def _build_all(folder: Path, shared: Path) -> None:
    tools, part = shared / "setuptools", shared / "distributions.part"
    _pip("install", "--target", str(tools), *_build_requirements())
    checkout = shared / "checkout"
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=NOT_SOURCE)
    _build(tools, checkout, "build_sdist", part / "direct")
    _build(tools, checkout, "build_wheel", part / "direct")
    (source,) = part.glob("direct/*.tar.gz")
    _unpack(source, shared / "unpacked")
    _build(tools, _only_folder(shared / "unpacked"), "build_wheel", part / "again")
    part.rename(folder)


def _build(tools: Path, checkout: Path, hook: str, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    _run(
        [sys.executable, "-c", BUILD, hook, str(output)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(tools)},
    )


def _build_requirements() -> list[str]:
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        requirements: list[str] = tomllib.load(file)["build-system"]["requires"]
    return requirements


def _unpack(source: Path, folder: Path) -> None:
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")


def _only_folder(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def _run(
    argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv, check=False, cwd=cwd, env=env, text=True, capture_output=True, timeout=PIP_SECONDS
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done


def _pip(*argv: str) -> None:
    _run((*PIP, *argv))


def _dependencies() -> list[str]:
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        dependencies: list[str] = tomllib.load(file)["project"]["dependencies"]
    return dependencies


def _oldest(requirement: str) -> str:
    """Return ``NAME==VERSION`` of the lower bound."""
    found = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement)
    assert found, f"{requirement} has an upper bound, which can conflict with apps"
    return f"{found[1]}=={WITH_WHEELS.get(found[1], found[2])}"


def _make_environment(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment with these packages; return its bin folder."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    _run(
        (*PIP, "--python", str(python), "install", *requirements),
    )
    return folder / "bin"


def _files(folder: Path) -> set[str]:
    return {
        os.path.relpath(os.path.join(top, name), folder)
        for top, _, names in os.walk(folder, followlinks=True)
        for name in names
    }


def test_the_source_distribution_has_every_file(
    distributions: Distributions, tmp_path: Path
) -> None:
    shutil.copytree(ROOT, tmp_path / "checkout", symlinks=True, ignore=NOT_SOURCE)
    _unpack(distributions.source, tmp_path / "unpacked")
    unpacked = _only_folder(tmp_path / "unpacked")
    assert _files(tmp_path / "checkout") - _files(unpacked) == set()
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]


def test_tests_pass_in_the_source_distribution(
    distributions: Distributions, tmp_path: Path
) -> None:
    _unpack(distributions.source, tmp_path)
    unpacked = _only_folder(tmp_path)
    tests = ("tests/house", "tests/tracer/test_platform.py")
    done = _run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=unpacked,
        env={**environment(), "PYTHONPATH": str(unpacked)},
    )
    assert " passed" in done.stdout


def test_the_wheel_has_one_top_level_name_and_plain_files(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        entries = wheel.infolist()
    tops = {entry.filename.partition("/")[0] for entry in entries}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"slimtrace"}
    assert {entry.external_attr >> 28 for entry in entries} == {0o10}  # S_IFREG (inode(7))
    names = {entry.filename for entry in entries}
    assert {"slimtrace/py.typed", "slimtrace/tracer/run.py", "slimtrace/builder/model.py"} <= names


def test_the_source_distribution_makes_the_same_wheel(distributions: Distributions) -> None:
    with (
        zipfile.ZipFile(distributions.wheel) as direct,
        zipfile.ZipFile(distributions.wheel_of_source) as again,
    ):
        assert sorted(direct.namelist()) == sorted(again.namelist())
        for name in direct.namelist():
            if not name.endswith("/RECORD"):
                assert direct.read(name) == again.read(name), name


PROJECT = {
    "tracer/__init__.py": "COLOUR = 'red'\n",
    "tracer/run.py": "raise AssertionError('this is not slimtrace')\n",
    "builder/__init__.py": "from tracer import COLOUR\n",
    "app.py": "import builder\nprint(builder.COLOUR)\n",
    "test_app.py": """
import builder, sys, tracer

def test_own_folders():
    assert builder.COLOUR == tracer.COLOUR == "red"

def test_service(slimtrace_service):
    app = [sys.executable, "-m", "http.server", "{port}"]
    assert slimtrace_service(app, ready="http://127.0.0.1:{port}/").port > 0
""",
}
VERSIONS = pytest.mark.parametrize("versions", ["oldest", "newest"])


def _make_project(folder: Path) -> Path:
    for name, text in PROJECT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def installed(distributions: Distributions, shared: Path) -> Mapping[str, Path]:
    """Return the bin folders of environments with the oldest and the newest dependencies."""
    folder = shared / "installed"
    wanted = {"oldest": [*map(_oldest, _dependencies())], "newest": _dependencies()}
    with open(f"{folder}.lock", "w") as lock:
        flock(lock, LOCK_EX)
        for name, requirements in wanted.items():
            part = folder / name
            if not (part / "ready").exists():
                _make_environment(part, str(distributions.wheel), "pytest", *requirements)
                (part / "ready").touch()
    return {name: folder / name / "bin" for name in wanted}


def _clean_environment(**changes: str) -> dict[str, str]:
    own = environment(**changes)
    return {name: own[name] for name in own if not name.startswith(("PYTEST", "PYTHON"))} | changes


@VERSIONS
def test_run_build_and_show(installed: Mapping[str, Path], versions: str, tmp_path: Path) -> None:
    command = str(installed[versions] / "slimtrace")
    _run([command, "run", "--", "cat", "/etc/passwd"], tmp_path, _clean_environment())
    done = _run([command, "show", "slimtrace.trace", "--json"], tmp_path, _clean_environment())
    files = {file["path"] for file in orjson.loads(done.stdout)["files"]}
    assert "/etc/passwd" in files
    sbom = ("--sbom", "spdx", "app.spdx.json", "--sbom", "cyclonedx", "app.cdx.json")
    built = _run(
        [command, "build", "slimtrace.trace", "-o", "app.tar", "--json", *sbom],
        tmp_path,
        _clean_environment(),
    )
    document = orjson.loads(built.stdout)
    assert document["image"]["digest"].startswith("sha256:")
    assert orjson.loads((tmp_path / "app.spdx.json").read_bytes())["spdxVersion"] == "SPDX-2.3"
    assert orjson.loads((tmp_path / "app.cdx.json").read_bytes())["specVersion"] == "1.6"


def test_all_dependency_versions_write_the_same_bytes(
    installed: Mapping[str, Path], tmp_path: Path
) -> None:
    """zlib-ng compresses layers; a digest must not depend on its version."""
    fixed = _clean_environment(SOURCE_DATE_EPOCH="1")
    data = "".join(f"{number} {number * 7919 % 10007:x}\n" for number in range(200_000))
    (tmp_path / "data").write_text(data)  # several compressible pieces of data, some megabytes
    app = ("run", "--", "cksum", str(tmp_path / "data"), "/usr/bin/env", sys.executable)
    _run([str(installed["oldest"] / "slimtrace"), *app], tmp_path, fixed)
    for versions, bin_folder in installed.items():
        _run(
            [str(bin_folder / "slimtrace"), "build", "slimtrace.trace", "-o", f"oci:{versions}"],
            tmp_path,
            fixed,
        )
    blobs = {name: _files(tmp_path / name / "blobs/sha256") for name in installed}
    assert blobs["oldest"] == blobs["newest"]


@VERSIONS
def test_beside_a_project_with_folders_of_our_names(
    installed: Mapping[str, Path], versions: str, tmp_path: Path
) -> None:
    project = _make_project(tmp_path / "project")
    python = str(installed[versions] / "python")
    done = _run(
        [python, "-m", "pytest", "-q", "--slimtrace=tests.trace"], project, _clean_environment()
    )
    assert "2 passed" in done.stdout
    own = _clean_environment(PYTHONPATH=".")
    run = (str(installed[versions] / "slimtrace"), "run", "-o", "app.trace", "--", python, "app.py")
    assert _run(run, project, own).stdout == "red\n"
    for command in ([run[0]], [python, "-m", "slimtrace"]):
        document = _run([*command, "show", "app.trace", "--json"], project, own)
        files = {file["path"] for file in orjson.loads(document.stdout)["files"]}
        assert {str(project / name) for name in ("tracer/__init__.py", "builder/__init__.py")} <= {
            file for file in files if "__pycache__" not in file
        } | {re.sub(r"__pycache__/(\w+)\.\S+", r"\1.py", file) for file in files}


def test_only_slimtrace_is_importable(installed: Mapping[str, Path], tmp_path: Path) -> None:
    for name in ("tracer", "builder", "tests", "samples"):
        code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
        done = _run([str(installed["newest"] / "python"), "-c", code], tmp_path)
        assert done.stdout == "None\n"
