"""The closure finds the same libraries as the system's loader."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from requirements import need

from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.model import Reason
from slimtrace.builder.root.root import Root

_LINE = re.compile(r"(?:=> )?(/\S+) \(0x")
_ENOUGH = 100


def programs() -> list[str]:
    found = []
    for folder in ("/usr/sbin", "/usr/bin"):
        for name in sorted(os.listdir(folder)):
            path = os.path.realpath(os.path.join(folder, name))
            with open(path, "rb") if os.path.isfile(path) else open(os.devnull, "rb") as file:
                if file.read(5) == b"\x7fELF\x02":
                    found.append(path)
    step = max(1, len(set(found)) // (_ENOUGH + 10))
    return sorted(set(found))[::step]


def ldd(path: str) -> set[str] | None:
    """Resolved files; None for a file that is not dynamic or cannot be loaded on this machine."""
    env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False, env=env)
    if done.returncode != 0 or "not found" in done.stdout or "=>" not in done.stdout:
        return None
    return {os.path.realpath(name) for name in _LINE.findall(done.stdout)}


def test_as_ldd() -> None:
    need("ldd")
    root = Root("/")
    loader = Loader(root, RunEnvironment((), (), "/"))
    differences, compared = {}, 0
    for path in programs():
        expected = ldd(path)
        dependencies = loader.find_dependencies(path, path)
        if expected is None or dependencies is None:
            continue
        compared += 1
        wanted = [n.path for n in dependencies.needs if n.reason is Reason.ELF_INTERPRETER]
        found = {root.resolve(name).path for name in wanted} | set(dependencies.files)
        if found != expected:
            differences[path] = (sorted(expected - found), sorted(found - expected))
    assert not differences
    if compared < _ENOUGH:
        pytest.skip(f"only {compared} dynamic programs here")
