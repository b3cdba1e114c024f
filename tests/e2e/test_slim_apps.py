"""Real apps in a full image: their slim images are compared by entry, and run with podman."""

from __future__ import annotations

import fcntl
import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from engine import need_engine, podman, podman_run
from entries import find_difference, read_entries
from requirements import need, need_root
from traces import run_slimtrace
from umoci_images import run_command, unpack_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from entries import Entry

FIXED = (b"dev", b"proc", b"run", b"sys", b"tmp")
"""Directories that are the same in every slim image."""
GENERATED = (
    *(b"var/lib/dpkg/status.d", b"var/lib/dpkg/info/"),
    *(b"etc/passwd", b"etc/group", b"home/nonroot"),
)
"""Files that the build generates for scanners (test_slim_scanners.py) and accounts."""


RETRY = ("-fsS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1")


class App(NamedTuple):
    """A command in the image, its output, and the maximum size of its slim image in MB."""

    command: tuple[str, ...]
    says: str
    most: int


PYTHON = "import decimal, json, ssl, sqlite3; print(json.dumps(str(decimal.Decimal('1.10'))))"
NODE = "console.log(require('zlib').gunzipSync(require('zlib').gzipSync('hello')).toString())"
APPS = {
    "python": App(("python3", "-c", PYTHON), '"1.10"\n', 40),
    "node": App(("node", "-e", NODE), "hello\n", 130),
    "java": App(("java", "-cp", "/app", "Hello"), "Hello, Europe/Berlin\n", 200),
}


@pytest.fixture(scope="session")
def whole(full: str, shared: Path) -> dict[bytes, Entry]:
    """Read the full image's entries, unpacked by umoci."""
    need_root()
    with open(shared / "whole.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        top = shared / "whole" / "rootfs"
        return read_entries(top if top.exists() else unpack_image(full, shared / "whole"))


@pytest.mark.parametrize("name", APPS)
def test_a_jobs_slim_image(
    tmp_path: Path, full: str, cached: dict[str, str], whole: dict[bytes, Entry], name: str
) -> None:
    app, trace = APPS[name], f"{tmp_path}/trace"
    arguments = ("-q", "run", "--image", full, "-o", trace, "--", *app.command)
    done = run_slimtrace(*arguments, env=cached)
    assert (done.returncode, done.stdout) == (0, app.says), done.stderr
    kept = built(tmp_path, trace, name, cached, whole)
    assert kept < app.most * 10**6
    with load_image(tmp_path, name) as image:
        user = podman("inspect", "--format", "{{.Config.User}}", image).stdout.strip()
        assert user == "65532:65532"
        for confined in ((), *make_confinements(trace, cached)):
            result = podman_run("--read-only", *confined, image)
            assert (result.returncode, result.stdout) == (0, app.says), result.stderr


def test_the_image_for_debugging(tmp_path: Path, full: str, cached: dict[str, str]) -> None:
    """It has the app and a shell with tools; the normal slim image has no shell."""
    need("busybox")
    trace = f"{tmp_path}/trace"
    arguments = ("-q", "run", "--image", full, "-o", trace, "--", "python3", "-c", "print(1)")
    assert run_slimtrace(*arguments, env=cached).returncode == 0
    archive = ("-o", f"{tmp_path}/slim.tar", "-t", "localhost/slim-debugged:v1")
    done = run_slimtrace("build", trace, *archive, "--debug", "--json", env=cached)
    document = json.loads(done.stdout)
    assert document["debug"]["destination"] == f"{tmp_path}/slim-debug.tar"
    look = ("-c", "id -un; ls /busybox/busybox; python3 -c 'print(2)'")
    with load_image(tmp_path, "debugged", "v1") as image:
        assert podman_run("--entrypoint", "sh", image, *look).returncode == 127
    with load_image(tmp_path, "debugged", "v1-debug", "slim-debug.tar") as image:
        result = podman_run("--entrypoint", "sh", image, *look)
        assert result.stdout.split() == ["nonroot", "/busybox/busybox", "2"], result.stderr
        assert podman_run(image).stdout == "1\n"


def test_a_servers_slim_image(
    tmp_path: Path, full: str, shared: Path, cached: dict[str, str], whole: dict[bytes, Entry]
) -> None:
    url = f"http://127.0.0.1:{(shared / 'port').read_text()}/"
    drive = ("--ready", url, "--exec", f"curl -fsS {url}index.html >{tmp_path}/answer")
    trace = f"{tmp_path}/trace"
    arguments = ("-q", "run", "--image", full, "-o", trace, *drive, "--", "nginx", "-c")
    done = run_slimtrace(*arguments, "/app/nginx.conf", env=cached)
    assert (tmp_path / "answer").read_text() == "hello from nginx\n", done.stderr
    assert built(tmp_path, trace, "nginx", cached, whole) < 20 * 10**6
    with load_image(tmp_path, "nginx") as image:
        for confined in ((), *make_confinements(trace, cached)):
            options = ("-d", "--read-only", "--name", "slimtrace-nginx", *confined)
            started = podman_run(*options, image)
            try:
                assert started.returncode == 0, started.stderr
                assert run_command("curl", *RETRY, f"{url}index.html") == "hello from nginx\n"
            finally:
                podman("rm", "-f", "-t", "0", "slimtrace-nginx")


def built(
    folder: Path, trace: str, name: str, env: dict[str, str], whole: dict[bytes, Entry]
) -> int:
    """Build an archive and a layout; compare the layout with the full image; return its bytes."""
    layout = f"oci:{folder}/slim:latest"
    for arguments in (("-o", f"{folder}/slim.tar", "-t", f"localhost/slim-{name}"), ("-o", layout)):
        done = run_slimtrace("build", trace, "--json", *arguments, env=env)
        assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    slim = read_entries(unpack_image(layout, folder / "slim-tree"))
    kept = {path: entry for path, entry in slim.items() if path not in FIXED}
    kept = {path: entry for path, entry in kept.items() if not path.startswith(GENERATED)}
    assert find_difference(kept, whole) is None
    raw = run_command("skopeo", "inspect", "--raw", layout)
    assert document["image"]["digest"] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
    return int(document["kept"]["bytes"])


def make_confinements(trace: str, env: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield flags for containers that allow only the traced actions."""
    profile = f"{trace}.json"
    done = run_slimtrace("profile", trace, "--seccomp", profile, env=env)
    assert done.returncode == 0, done.stderr
    yield ("--security-opt", f"seccomp={profile}")
    yield ("--security-opt", f"seccomp={profile}", "--security-opt", "no-new-privileges")


@contextmanager
def load_image(
    folder: Path, name: str, tag: str = "latest", archive: str = "slim.tar"
) -> Iterator[str]:
    """Load the archive into podman's store until the block ends."""
    need_engine()
    image = f"localhost/slim-{name}:{tag}"
    done = podman("load", "-q", "-i", f"{folder}/{archive}")
    assert done.returncode == 0, done.stderr
    try:
        yield image
    finally:
        podman("rmi", "-f", image)
