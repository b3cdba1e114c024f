"""Every kind of metadata in a slim image, compared with the full image."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engine import compile_static
from entries import find_difference, read_entries
from requirements import need, need_root
from traces import command, environment, run_slimtrace
from tree_images import make_varied_tree
from umoci_images import run_command, unpack_image

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    puts("it ran");
    return argc > 1 && strcmp(argv[1], "serve") == 0 ? pause() : 0;
}
"""
FIXED = {b"dev", b"proc", b"run", b"sys", b"tmp"}
"""They are the same in every slim image."""
CONFIG = {
    "--config.env": "NAME=value",
    "--config.label": "org.example.team=blue",
    "--config.exposedports": "8080/tcp",
    "--config.volume": "/srv/data",
    "--config.stopsignal": "SIGQUIT",
    "--config.workingdir": "/usr",
    "--config.user": "33:44",
    "--config.cmd": "/program",
    "--architecture": "amd64",
}


@pytest.fixture
def layered(tmp_path: Path) -> str:
    """Make a layout of three layers with umoci, with every kind of entry and metadata."""
    need("umoci", "setfacl", "setcap")
    need_root()
    path, bundle = f"{tmp_path}/full", tmp_path / "bundle"
    run_command("umoci", "init", "--layout", path)
    run_command("umoci", "new", "--image", f"{path}:latest")
    run_command("umoci", "unpack", "--image", f"{path}:latest", str(bundle))
    root = bundle / "rootfs"
    make_varied_tree(root)
    compile_static(str(root), PROGRAM)
    compile_static(str(root), PROGRAM, "probe")
    run_command("setfacl", "-m", "u:1000:r", str(root / "etc/ünï.conf"))
    run_command("setcap", "cap_net_raw+ep", str(root / "usr/bin/su"))
    os.link(root / "bin", root / "bin-again", follow_symlinks=False)
    os.mkfifo(root / "pipe")
    os.link(root / "pipe", root / "pipe-again")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    again = ("umoci", "repack", "--refresh-bundle", "--image", f"{path}:latest", str(bundle))
    run_command(*again)
    os.link(root / "usr/bin/tool", root / "usr/tool-of-another-layer")
    os.chown(root / "program", 12345, 54321)
    run_command(*again)
    (root / "empty").rmdir()
    (root / "empty").write_text("now a file")
    run_command(*again)
    for option, value in CONFIG.items():
        run_command("umoci", "config", "--image", f"{path}:latest", option, value)
    return f"oci:{path}:latest"


@pytest.mark.parametrize("rootless", [False, True])
def test_every_kind_of_metadata_is_kept(
    tmp_path: Path, layered: str, unprivileged: Sequence[str], *, rootless: bool
) -> None:
    """Also for an ordinary user, who owns all unpacked files."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        work = Path(name)
        run_command(
            "cp", "-r", layered.removeprefix("oci:").removesuffix(":latest"), f"{work}/full"
        )
        run_command("chmod", "-R", "a+rwX", name)
        env = {**environment(), "XDG_CACHE_HOME": f"{work}/cache", "HOME": name}
        slim_image = f"oci:{work}/slim:latest"
        bare = ("--no-baseline", "--json")
        output = []
        for arguments in (
            ("-q", "run", "--image", f"oci:{work}/full:latest", "-o", f"{work}/trace"),
            ("build", f"{work}/trace", "--include", "/**", "-o", slim_image, *bare),
        ):
            done = subprocess.run(
                [*(unprivileged if rootless else ()), *command(*arguments)],
                check=False,
                capture_output=True,
                text=True,
                env=env,
            )
            assert done.returncode == 0, done.stderr
            output.append(done.stdout)
        assert output[0] == "it ran\n"
        slim = read_entries(unpack_image(slim_image, tmp_path / "slim-tree"))
        document = json.loads(run_command("skopeo", "inspect", "--config", "--raw", slim_image))[
            "config"
        ]
    full = read_entries(unpack_image(layered, tmp_path / "full-tree"))
    kept = {path: entry for path, entry in slim.items() if path not in FIXED}
    assert find_difference(kept, full) is None
    lost = {path for path in full if path not in slim}
    assert {path for path in lost if not path.startswith((b"dev/", b"run/"))} == {b"null"}
    assert document["Env"] == ["NAME=value"]
    assert document["Labels"] == {"org.example.team": "blue"}
    assert (document["ExposedPorts"], document["Volumes"]) == ({"8080/tcp": {}}, {"/srv/data": {}})
    assert (document["StopSignal"], document["WorkingDir"]) == ("SIGQUIT", "/usr")
    assert (document["User"], document["Cmd"]) == ("33:44", ["/program"])
    assert "Entrypoint" not in document


def test_a_health_check_is_traced_by_exec_in(tmp_path: Path, layered: str) -> None:
    """Without it, ``build`` warns that the check cannot run."""
    check = {"Test": ["CMD", "/probe", "a b"], "Interval": 30_000_000_000}
    image = with_health_check(layered, check)
    env = {**environment(), "XDG_CACHE_HOME": f"{tmp_path}/cache"}
    trace = ("-q", "run", "--image", image, "-o", f"{tmp_path}/trace")
    build = ("build", f"{tmp_path}/trace", "--json", "-o")
    result = run_slimtrace(*trace, env=env)
    assert result.returncode == 0, result.stderr
    warnings = json.loads(run_slimtrace(*build, f"oci:{tmp_path}/one", env=env).stdout)["warnings"]
    (warning,) = [warning for warning in warnings if "healthcheck" in warning]
    hint = warning.partition("--exec-in ")[2].partition(";")[0]
    (check_command,) = shlex.split(hint)
    serving = ("--append", "--exec-in", check_command, "--", "/program", "serve")
    result = run_slimtrace(*trace, *serving, env=env)
    assert result.returncode == 0, result.stderr
    done = run_slimtrace(*build, f"oci:{tmp_path}/two:latest", env=env)
    assert not [w for w in json.loads(done.stdout)["warnings"] if "healthcheck" in w], done.stderr
    document = json.loads(
        run_command("skopeo", "inspect", "--config", "--raw", f"oci:{tmp_path}/two:latest")
    )
    assert document["config"]["Healthcheck"] == check
    without = (*build, f"oci:{tmp_path}/three:latest", "--no-healthcheck")
    assert run_slimtrace(*without, env=env).returncode == 0
    document = json.loads(
        run_command("skopeo", "inspect", "--config", "--raw", f"oci:{tmp_path}/three:latest")
    )
    assert "Healthcheck" not in document["config"]


def with_health_check(image: str, check: object) -> str:
    """Add a health check, a field of Docker's config that OCI tools cannot set."""
    folder, _, tag = image.removeprefix("oci:").rpartition(":")
    index = json.loads(Path(folder, "index.json").read_text())
    manifest = json.loads(_blob(folder, index["manifests"][0]["digest"]).read_text())
    config = json.loads(_blob(folder, manifest["config"]["digest"]).read_text())
    config["config"]["Healthcheck"] = check
    manifest["config"].update(_stored(folder, config))
    index["manifests"][0].update(_stored(folder, manifest))
    Path(folder, "index.json").write_text(json.dumps(index))
    return f"oci:{folder}:{tag}"


def _blob(folder: str, digest: str) -> Path:
    return Path(folder, "blobs", *digest.split(":"))


def _stored(folder: str, document: object) -> dict[str, str | int]:
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _blob(folder, digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}
