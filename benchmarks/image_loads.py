"""The loads of ``build``: trees to write as layers and an image to read, each with its rival."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from figures import RIVAL, SLIMTRACE
from rounds import HERE, PEAK, BenchmarkError, Step, call
from workloads import install_packages

if TYPE_CHECKING:
    from collections.abc import Collection

    from tools import Slimtrace

WRITING = {"write 200 MB": 1, "write 1 GB": 5}
"""Layers to write: the number of copies of the packages, 210 MB each, in the tree."""
READING = "read 200 MB"
LOADS = (*WRITING, READING)
_LAYERS = 3

_READ = """
import sys
from slimtrace.builder.images.read.full_image_source import open_image
open_image(sys.argv[1])
"""
_TRACE = (
    {"slimtrace": 1, "version": "0.1.0"},
    {"process": 1, "parent": None, "exe": "/bin/app", "argv": ["/bin/app"]},
    {"end": {"seconds": 1.0, "exit_status": 0, "signal": None, "complete": True}},
)


def plan(
    loads: Collection[str], slimtrace: Slimtrace, scratch: Path, *, light: bool, quick: bool
) -> list[Step]:
    """Plan a round: each load by slimtrace and by its rival."""
    packages = _find_packages(light=light)
    steps = []
    for load in loads:
        if load == READING:
            steps += _plan_read(packages, slimtrace, scratch)
        else:
            tree = scratch / load.replace(" ", "-")
            for copy in range(1 if quick else WRITING[load]):
                shutil.copytree(packages, tree / str(copy), symlinks=True)
            steps += _plan_write(load, tree, slimtrace)
    return steps


def measure_sizes(loads: Collection[str], scratch: Path) -> dict[str, dict[str, int]]:
    """Bytes of each compressed layer, by load and tool."""
    sizes = {}
    for load in loads:
        if load != READING:
            name = load.replace(" ", "-")
            blobs = (scratch / f"{name}.oci" / "blobs" / "sha256").iterdir()
            ours = max(blob.stat().st_size for blob in blobs)
            sizes[load] = {SLIMTRACE: ours, RIVAL: (scratch / f"{name}.gz").stat().st_size}
    return sizes


def _plan_write(load: str, tree: Path, slimtrace: Slimtrace) -> list[Step]:
    """Plan ``build``, and the same by hand.

    An image needs the sha256 of the tar and of the compressed tar.
    """
    trace, layout, gzipped = (f"{tree}.{end}" for end in ("trace", "oci", "gz"))
    run: dict[str, object] = {
        "command": ["/bin/app"],
        "cwd": "/",
        "user": "0:0",
        "env": {},
        "image_digest": None,
        "image": f"rootfs:{tree}",
        "started": "2026-01-01T00:00:00Z",
        "machine": "x86_64",
        "engine": "notify",
        "stop_signal": None,
    }
    lines = (_TRACE[0], {"run": run}, *_TRACE[1:])
    Path(trace).write_text("".join(json.dumps(line) + "\n" for line in lines))
    ours = [
        *_make_peak_prefix(slimtrace),
        slimtrace.program,
        "-q",
        "build",
        trace,
        "--include",
        "/**",
    ]
    tar = f"tar --sort=name -C {shlex.quote(str(tree))} -cf - ."
    by_hand = f"{tar} | gzip -6 >{gzipped}; {tar} | sha256sum; sha256sum {gzipped}"
    return [
        Step(load, SLIMTRACE, [*ours, "-o", f"oci:{layout}"], layout),
        Step(load, RIVAL, ["sh", "-c", by_hand]),
    ]


def _plan_read(packages: Path, slimtrace: Slimtrace, scratch: Path) -> list[Step]:
    """Plan to unpack an image of three layers."""
    if shutil.which("umoci") is None:
        raise BenchmarkError("cannot find umoci: install it, or use --loads 'write 200 MB'")
    image, cache, bundle = f"{scratch}/full", f"{scratch}/cache", f"{scratch}/bundle"
    call(["umoci", "init", "--layout", image])
    call(["umoci", "new", "--image", f"{image}:full"])
    names = sorted(os.listdir(packages))
    for number in range(_LAYERS):
        layer = f"{scratch}/layer.tar"
        call(["tar", "-C", str(packages), "-cf", layer, *names[number::_LAYERS]])
        call(["umoci", "raw", "add-layer", "--image", f"{image}:full", layer])
        os.unlink(layer)
    ours = [
        *_make_peak_prefix(slimtrace),
        *_write_script(scratch, "read.py", _READ),
        f"oci:{image}:full",
    ]
    umoci = ["umoci", "unpack", "--image", f"{image}:full", bundle]
    if os.geteuid() != 0:
        umoci.insert(2, "--rootless")
    return [
        Step(READING, SLIMTRACE, ["env", f"XDG_CACHE_HOME={cache}", *ours], cache),
        Step(READING, RIVAL, umoci, bundle),
    ]


def _make_peak_prefix(slimtrace: Slimtrace) -> list[str]:
    return [slimtrace.python, str(HERE / "peak_memory.py"), PEAK]


def _write_script(scratch: Path, name: str, text: str) -> list[str]:
    (scratch / name).write_text(text)
    return [str(scratch / name)]


def _find_packages(*, light: bool) -> Path:
    """Find a folder of real files: the packages of the load ``import``, or the standard library."""
    python = sys.executable if light else install_packages()
    code = "import sysconfig; print(sysconfig.get_path('{}'))"
    output = subprocess.check_output([python, "-c", code.format("stdlib" if light else "purelib")])
    return Path(os.fsdecode(output.strip()))
