"""Failed lookups in a slim image that are hard to see, and listings that succeed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from requirements import need, need_root
from roots import busybox_root
from traces import SECONDS, command, environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

APP = """
import os, sys
here = {here!r}
sys.path.insert(0, here)
import plugins
mode = open(here + "/given/mode").read()
if mode == "namespace":
    try:
        __import__(".".join(("space", "inner")))  # what no rule reads
    except ImportError:
        pass
elif mode == "package":
    import importlib.metadata
    try:
        importlib.metadata.version("dist")
    except Exception:
        pass
elif mode == "made anew":
    if not os.path.exists(here + "/state"):
        open(here + "/state", "w").write("empty")
elif mode == "written over":
    with open(here + "/new", "w") as file:
        file.write("x")
    os.rename(here + "/new", here + "/state")
elif mode == "listing":
    names = [name for name in os.listdir(here + "/plugins") if name.endswith(".py")]
    sys.exit(len(names) != 3)
"""
TREE = {
    "plugins/__init__.py": "",
    "plugins/one.py": "",
    "plugins/two.py": "",
    "space/inner/__init__.py": "",
    "dist-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: dist\nVersion: 1.0\n",
    "state": "full",
}
MODES = {
    "namespace": "space",
    "package": "dist-1.0.dist-info",
    "made anew": "state",
    "written over": None,
}


def slimtrace(folder: Path, *argv: str, prefix: Sequence[str] = ()) -> tuple[int, str, str]:
    (folder / "tmp").mkdir(exist_ok=True)
    env = environment(XDG_CACHE_HOME=str(folder / "cache"), TMPDIR=str(folder / "tmp"))
    done = subprocess.run(
        [*prefix, *command("-q", *argv)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout, done.stderr


def make_image(folder: Path, mode: str) -> None:
    """An image of the app, traced in this mode; its mode can be changed."""
    need("python3")
    app = folder / "app"
    for name, text in {**TREE, "app.py": APP.format(here=str(app)), "given/mode": mode}.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)
    python = os.path.realpath(shutil.which("python3", path="/usr/bin") or sys.executable)
    for argv in (
        ("run", "--", python, "-IB", "app/app.py"),
        ("build", "slimtrace.trace", "-o", "app.tar", "--keep", "closure"),
    ):
        status, _, errors = slimtrace(folder, *argv)
        assert status == 0, errors


def verify(folder: Path, *argv: str, prefix: Sequence[str] = ()) -> tuple[int, Any]:
    shown = ("-v", f"{folder}/app/given:{folder}/app/given")
    line = ("verify", "app.tar", "--trace", "slimtrace.trace", "--json", *shown, *argv)
    status, out, errors = slimtrace(folder, *line, prefix=prefix)
    assert out, errors
    return status, json.loads(out)


def test_what_only_another_way_through_the_app_asks_for(tmp_path: Path) -> None:
    make_image(tmp_path, "")
    assert verify(tmp_path)[0] == 0
    for mode, name in MODES.items():
        (tmp_path / "app/given/mode").write_text(mode)
        status, verdict = verify(tmp_path)
        paths = [item["path"] for item in verdict["missing"]]
        assert (status, f"{tmp_path}/app/{name}" in paths) == (
            int(name is not None),
            name is not None,
        ), (mode, verdict)


def test_who_lists_a_directory_sees_what_is_there(tmp_path: Path) -> None:
    """The app does not see the links that replace missing modules."""
    make_image(tmp_path, "listing")
    status, verdict = verify(tmp_path)
    assert (status, verdict["missing"]) == (1, [])
    assert verdict["runs"][0]["exit_status"] == {"traced": 0, "now": 1}


def test_a_module_that_is_missing_in_a_copy(tmp_path: Path) -> None:
    """Without an overlay file system."""
    need_root()
    need("unshare", "mount")
    make_image(tmp_path, "")
    (tmp_path / "app/given/mode").write_text("namespace")
    for name in ("bin", "tmp", "upper", "work"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "bin/cp").symlink_to("/bin/cp")
    layers = "-t overlay -o lowerdir=tmp,upperdir=upper,workdir=work none tmp"
    setup = f'mount {layers} && export PATH={tmp_path}/bin && exec "$@"'
    status, verdict = verify(tmp_path, prefix=("unshare", "-m", "sh", "-c", setup, "sh"))
    assert f"{tmp_path}/app/space" in [item["path"] for item in verdict["missing"]]
    assert status == 1


LINKS = (
    ("readlink /app/broken", "/app/broken"),
    ("cat /app/mounts", "/app/mounts"),
    ("cat /app/log", "/app/log"),
    ("cat /app/broken", None),
)


@pytest.mark.parametrize(("script", "path"), LINKS)
def test_links_that_lead_out_of_the_image(tmp_path: Path, script: str, path: str | None) -> None:
    tree = {
        "app/job": "#!/bin/sh\nread -r word file </given/what; $word $file; :\n",
        "app/broken": "-> /app/nothing",
        "app/mounts": "-> /proc/self/mounts",
        "app/log": "-> /dev/null",
    }
    root = busybox_root(tmp_path / "full", tree)
    (root / "bin/true").symlink_to("busybox")
    (tmp_path / "given").mkdir()
    (tmp_path / "given/what").write_text("readlink /app/job\n")
    seen = ("--image", f"rootfs:{root}", "-v", f"{tmp_path}/given:/given:ro")
    heal = ("verify", "app.tar", "--trace", "slimtrace.trace", "--heal", "--json")
    for argv in (
        ("run", *seen, "--", "/app/job"),
        ("build", "slimtrace.trace", "-o", "app.tar", "--include", "/bin/cat"),
    ):
        done = slimtrace(tmp_path, *argv)
        assert done[0] == 0, done[2]
    (tmp_path / "given/what").write_text(f"{script}\n")
    status, out, errors = slimtrace(tmp_path, *heal)
    assert (status, json.loads(out)["healed"]) == (0, [path] if path else []), errors
