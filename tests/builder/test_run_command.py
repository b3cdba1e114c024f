"""The default name of an image, and the command that runs it: the real engines run each."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import containers
import pytest
from engine import compile_static, need_engine
from requirements import need
from small_images import slimtrace_in
from tree_images import list_entries, make_tree_image

from slimtrace.builder.images.default_name import add_default_name, name_of_path
from slimtrace.builder.images.reference import parse_reference
from slimtrace.builder.images.write.destination import make_destination
from slimtrace.builder.run_command import choose_engine, make_run_command

if TYPE_CHECKING:
    from pathlib import Path

    from docker_daemon import DockerDaemon

    from slimtrace.builder.model import Image

PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("%s %d %s\\n", argv[argc - 1], getuid(), getenv("LANG"));
    return argc == 3 ? 7 : 1;
}
"""
SECONDS = 120


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("app.tar", "app:latest"),
        ("/x/My App_v1.2.tar", "my-app-v1-2:latest"),
        ("./out/", "out:latest"),
        ("...", "image:latest"),
        ("ünï.tar", "n:latest"),
    ],
)
def test_names_of_paths(path: str, name: str) -> None:
    assert name_of_path(path) == name


@pytest.mark.parametrize(
    ("text", "source", "named"),
    [
        ("app.tar", "containers-storage:localhost/hello:latest", "localhost/hello:latest"),
        ("app.tar", "docker-daemon:team/hello:1", "team/hello:1"),
        ("app.tar", f"docker-daemon:sha256:{'0' * 64}", "app:latest"),
        ("app.tar", f"docker://x.org/hello@sha256:{'0' * 64}", "x.org/hello:latest"),
        ("app.tar", "docker-archive:/none.tar:hello:1", "hello:1"),
        ("app.tar", "oci:/full:v1", "app:latest"),
        ("app.tar", "oci:/full:localhost/hello:2", "localhost/hello:2"),
        ("app.tar", "/none/full.tar", "app:latest"),
        ("app.tar", "rootfs:/", "app:latest"),
        ("app.tar", None, "app:latest"),
        ("docker-archive:a/b.tar", None, "b:latest"),
        ("docker-archive:a:x:1", "docker-daemon:hello:1", "x:1"),
        ("oci-archive:b.oci", "docker-daemon:hello:1", "hello:1"),
        ("oci:dir", "docker-daemon:hello:1", "1"),
        ("oci:dir", None, "latest"),
        ("oci:dir:v2", "docker-daemon:hello:1", "v2"),
        ("rootfs:dir", "docker-daemon:hello:1", None),
        ("tar:root.tar", "docker-daemon:hello:1", None),
        ("docker-daemon:app", None, "app:latest"),
    ],
)
def test_the_default_name(text: str, source: str | None, named: str | None) -> None:
    assert add_default_name(parse_reference(text), source).name == named


@pytest.mark.parametrize(
    ("text", "source", "installed", "engine"),
    [
        ("app.tar", "docker-daemon:hello:1", ["podman"], "docker"),
        ("app.tar", "containers-storage:hello", ["docker"], "podman"),
        ("docker-daemon:app:1", "rootfs:/", ["podman"], "docker"),
        ("containers-storage:app:1", "docker-daemon:hello:1", ["docker"], "podman"),
        ("app.tar", "rootfs:/", ["podman", "docker"], "podman"),
        ("app.tar", None, ["docker"], "docker"),
        ("app.tar", None, [], "podman"),
    ],
)
def test_which_engine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    source: str | None,
    installed: list[str],
    engine: str,
) -> None:
    for name in installed:
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_engine(parse_reference(text), source) == engine


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "root").mkdir()
    compile_static(str(tmp_path / "root"), PROGRAM)
    return make_tree_image(list_entries(tmp_path / "root"), tmp_path / "work")


def write_and_run(
    folder: Path, image: Image, text: str, engine: str, environment: dict[str, str]
) -> str:
    """Write the image; run its command by a shell in the folder. Returns the command."""
    reference = add_default_name(parse_reference(text), None)
    make_destination(reference).write(image, list_entries(folder / "root"))
    command = make_run_command(reference, image, engine)
    done = subprocess.run(
        ["sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=SECONDS,
    )
    last = done.stdout.splitlines()[-1:]
    assert (last, done.returncode) == (["two 65532 C.UTF-8"], 7), (command, done.stderr)
    return command


def wrap(folder: Path, engine: str, options: list[str], run_options: list[str]) -> None:
    """Put the options that this machine needs into what users type."""
    real = subprocess.run(["which", engine], check=True, capture_output=True, text=True)
    before, behind = " ".join(options), " ".join(run_options)
    script = f'#!/bin/sh\nif [ "$1" = run ]; then shift; set -- run {behind} "$@"; fi\n'
    (folder / engine).write_text(f'{script}exec {real.stdout.strip()} {before} "$@"\n')
    (folder / engine).chmod(0o755)


DESTINATIONS = [
    *("hybrid.tar", "docker-archive:a b.tar", "oci:my-layout"),
    *("oci-archive:packed.oci:v1", "tar:root.tar", "rootfs:my tree"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The settings of a store of podman for the tests of this module."""
    folder = tmp_path_factory.mktemp("store")
    lines = ["[storage]", 'driver = "vfs"']
    lines += [f'{name} = "{folder}/{name}"' for name in ("graphroot", "runroot")]
    (folder / "storage.conf").write_text("\n".join(lines))
    return str(folder / "storage.conf")


@pytest.mark.parametrize("text", [*DESTINATIONS, "containers-storage:localhost/stored:1"])
def test_podman_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, image: Image, text: str
) -> None:
    need_engine()
    need("skopeo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", store)
    flags = containers.find_working_flags()
    (tmp_path / "bin").mkdir()
    wrap(tmp_path / "bin", "podman", [*flags.runtime], [*flags.limits])
    path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    command = write_and_run(tmp_path, image, text, "podman", path)
    assert "-p 8080:8080" in command


@pytest.mark.parametrize("text", [*DESTINATIONS, "docker-daemon:app:1"])
def test_docker_runs_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image: Image,
    docker_daemon: DockerDaemon,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in docker_daemon.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bin").mkdir()
    wrap(tmp_path / "bin", "docker", [], ["--network", "host"])
    path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    try:
        write_and_run(tmp_path, image, text, "docker", path)
    finally:
        names = docker_daemon.docker("images", "--quiet").stdout.split()
        docker_daemon.docker("rmi", "--force", *names)


def test_build_names_the_image_and_ends_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    compile_static(str(tmp_path / "tree"), "int main(void) { return 0; }")
    traced = slimtrace_in(tmp_path, "run", "--image", "./tree", "--", "/program")
    assert traced.returncode == 0, traced.stderr
    built = slimtrace_in(tmp_path, "build", "slimtrace.trace", "-o", "my app.tar")
    lines = built.stderr.splitlines()
    assert "slimtrace: wrote my app.tar (my-app:latest): " in built.stderr
    assert lines[-1] == (
        "slimtrace: next: podman load -i 'my app.tar' && podman run --rm my-app:latest"
    )
    printed = slimtrace_in(tmp_path, "build", "slimtrace.trace", "-o", "oci:out", "--json")
    assert json.loads(printed.stdout)["image"]["name"] == "latest"
