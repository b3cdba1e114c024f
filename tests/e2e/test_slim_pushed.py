"""A full image from a real registry, and the slim image pushed to it: the same as built locally."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from engine import compile_static
from requirements import need
from traces import environment, run_slimtrace
from umoci_images import make_layout, run_command

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
#include <stdio.h>
int main(void) { return puts("from a registry") < 0; }
"""


def test_from_a_registry_and_back(tmp_path: Path, registry: str) -> None:
    need("skopeo", "umoci")
    (tmp_path / "tree").mkdir()
    compile_static(str(tmp_path / "tree"), PROGRAM)
    run_command("tar", "-C", str(tmp_path / "tree"), "-cf", f"{tmp_path}/layer.tar", "program")
    full = make_layout([tmp_path / "layer.tar"], f"{tmp_path}/full", "--config.cmd", "/program")
    run_command("skopeo", "copy", "-q", full, f"docker://{registry}/full:1")
    env = {**environment(), "XDG_CACHE_HOME": f"{tmp_path}/cache"}
    trace, slim = f"{tmp_path}/trace", f"docker://{registry}/team/slim:1"
    done = run_slimtrace(
        "-q", "run", "--image", f"docker://{registry}/full:1", "-o", trace, env=env
    )
    assert (done.returncode, done.stdout) == (0, "from a registry\n"), done.stderr
    built = run_slimtrace("build", trace, "-o", slim, "--json", env=env)
    assert built.returncode == 0, built.stderr
    document = json.loads(built.stdout)["image"]
    raw = run_command("skopeo", "inspect", "--raw", slim)
    assert document["digest"] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
    run_command("skopeo", "copy", "-q", slim, f"oci:{tmp_path}/pulled:1")
    pulled = run_command("skopeo", "inspect", "--raw", f"oci:{tmp_path}/pulled:1")
    assert pulled == raw
    again = run_slimtrace("-q", "run", "--image", slim, "--force", "-o", trace, env=env)
    assert (again.returncode, again.stdout) == (0, "from a registry\n"), again.stderr
