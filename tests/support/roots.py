"""Small root trees with programs of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

from requirements import need

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

APPLETS = ("sh", "cat", "chmod", "id", "kill", "ln", "ls", "mkdir", "mv", "readlink", "rm", "sleep")
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/srv:/bin/sh\n",
    "etc/group": "root:x:0:\nweb:x:1001:\nextra:x:50:root,web\nother:x:60:\n",
}


def busybox_root(root: Path, tree: Mapping[str, str] | None = None) -> Path:
    """Make a root with a shell, a few programs, an account in addition to root, and a tree.

    :param tree: path to text; ``-> TARGET`` is a symlink, and ``#!`` makes it executable.
    """
    need("busybox")
    (root / "bin").mkdir(parents=True)
    (root / "work").mkdir()
    (root / "work").chmod(0o1777)
    shutil.copy(os.path.realpath(shutil.which("busybox") or ""), root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    for name, text in {**ACCOUNTS, **(tree or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
    return root


def copy_program(program: str, root: Path, name: str) -> None:
    """Copy a program to ``name``, with the libraries that ldd(1) lists."""
    files = {name: program}
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    files |= {path: path for path in listed.split() if path.startswith("/")}
    for place, source in files.items():
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(os.path.realpath(source), target)


def describe_tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Describe every path below a root: its lstat(2) values except atime, and its content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        data = ""
        if stat.S_ISREG(status.st_mode):
            data = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            data = os.readlink(path)
        kept = (status.st_mode, status.st_uid, status.st_gid, status.st_size)
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found[str(path.relative_to(root))] = (*kept, *times, data)
    return found
