"""The JDK of this machine, and classes that its compiler makes."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from requirements import need, skip_missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def java_home() -> str:
    """Return JAVA_HOME of the ``java`` on the PATH; skip the test if it is not a JDK."""
    need("java", "javac")
    home = os.path.dirname(os.path.dirname(os.path.realpath(shutil.which("java") or "")))
    if not os.path.exists(f"{home}/bin/jlink"):
        skip_missing("jlink")
    return home


def compile_java(folder: Path, sources: Mapping[str, str], *options: str) -> dict[str, bytes]:
    """Compile these files with javac into the folder; return the classes by file name."""
    need("javac")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sources.items():
        (folder / name).write_text(text)
    command = ["javac", *options, "-d", str(folder), *(str(folder / name) for name in sources)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.rglob("*.class")}
