"""A tree with every kind of entry, and the entries and the image of a tree."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slimtrace.builder.images.documents import make_image
from slimtrace.builder.images.write.layer import write_layer
from slimtrace.builder.model import Entry, Image, ImageConfig, Kind
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONFIG = ImageConfig(
    created="2024-05-06T07:08:09Z",
    architecture="amd64",
    entrypoint=("/program",),
    cmd=("one", "two"),
    working_dir="/",
    user="65532:65532",
    env=("PATH=/usr/bin", "LANG=C.UTF-8"),
    exposed_ports=("8080/tcp",),
    labels={"org.opencontainers.image.title": "specimens", "team": "blue"},
)

# cap_net_bind_service=ep as VFS_CAP_REVISION_2 (capabilities(7)): bytes that are not UTF-8 included
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def make_varied_tree(root: Path) -> None:
    """Make the tree. Root also sets owners, a capability, and a file without read permission."""
    for name in ("etc", "usr", "usr/bin", "empty", "deep", "tmp", "usr-local"):
        (root / name).mkdir(parents=True)
    deep = root / "deep"
    for _ in range(4):
        deep /= "a-directory-with-a-name-that-is-rather-long-for-a-directory"
        deep.mkdir()
    (deep / ("f" * 200)).write_bytes(b"deep\n")
    (root / "etc/ünï.conf").write_bytes(b"utf-8\n")
    os.symlink("/etc/" + "ü" * 90, root / "etc/long-link")
    with open(os.fsencode(root / "etc") + b"/latin-\xe4\xff", "wb") as file:
        file.write(b"not utf-8\n")
    os.symlink(b"latin-\xe4\xff", os.fsencode(root / "etc") + b"/link-\xfc")
    (root / "etc/nothing").touch()
    (root / "usr/bin/tool").write_bytes(os.urandom(300_000))
    os.link(root / "usr/bin/tool", root / "usr/bin/tool-again")
    os.link(root / "usr/bin/tool", root / "a-tool")
    (root / "usr/bin/su").write_bytes(b"setuid\n")
    os.symlink("usr/bin", root / "bin")
    os.mkfifo(root / "tmp/pipe")
    with open(root / "usr/sparse", "wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
    os.setxattr(root / "etc/nothing", "user.note", b"\xff\x00 raw = \n bytes")
    for path, mode in (("usr/bin/su", 0o4755), ("tmp", 0o1777), ("etc/nothing", 0o600)):
        os.chmod(root / path, mode)
    if os.geteuid() == 0:
        os.chown(root / "etc/nothing", 65532, 3_000_000_000)  # larger than ustar's fields
        os.lchown(root / "bin", 7, 8)
        os.setxattr(root / "usr/bin/tool", "security.capability", CAPABILITY)
    _set_times(root)


def _set_times(root: Path) -> None:
    moment = 1_600_000_000_123_456_789
    for above, folders, files in os.walk(root, topdown=False):
        for name in sorted([*folders, *files]):
            path = os.path.join(above, name)
            moment += 1_000_000_001
            os.utime(path, ns=(moment, moment), follow_symlinks=False)
    os.utime(
        root / "usr/sparse", ns=(-5_500_000_000, -5_500_000_000)
    )  # 1969, with a fraction of a second
    os.utime(root, ns=(moment, moment))


def list_entries(root: Path | str) -> list[Entry]:
    """Return entries for a tree and everything in it, in no particular order."""
    reader = Root(str(root))
    found = ["/"]
    for path in found:
        status = os.lstat(f"{root}{path}")
        if stat.S_ISDIR(status.st_mode):
            found += [f"{path.rstrip('/')}/{name}" for name in reader.listdir(path)]
    return [reader.entry(path, ()) for path in found[::-1]]


def make_tree_image(entries: Iterable[Entry], folder: Path) -> Image:
    """Make an image of the entries; its layer is in ``folder``, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_image(write_layer(entries, str(folder)), CONFIG)


def describe_tree(root: Path | str, *, nanoseconds: bool = True) -> dict[str, str]:
    """Describe the tree, to compare it: ``{"/etc/x": "file 0644 0:0 …"}``."""
    seen: dict[tuple[int, int], str] = {}
    described = {}
    for entry in sorted(list_entries(root), key=lambda entry: os.fsencode(entry.path)):
        parts = [entry.kind, f"{entry.mode:04o}", f"{entry.uid}:{entry.gid}", entry.target]
        parts.append(str(entry.mtime_ns if nanoseconds else entry.mtime_ns // 10**9))
        # Rootless umoci stores owners that it cannot set in user.rootlesscontainers.
        kept = [pair for pair in entry.xattrs if pair[0] != "user.rootlesscontainers"]
        parts += [f"{name}={value.hex()}" for name, value in kept]
        if entry.source:
            with open(entry.source, "rb") as file:
                parts.append(str(hash(file.read())))
        if entry.hardlink:
            parts.append("same as " + seen.setdefault(entry.hardlink, entry.path))
        described[entry.path] = " ".join(parts)
    return described


def make_file_entry(path: Path, name: str = "/file", size: int | None = None) -> Entry:
    """Make an entry for one file; ``size`` replaces the file's real size."""
    length = path.stat().st_size if size is None else size
    return Entry(name, Kind.FILE, 0o644, 0, 0, 0, size=length, source=str(path))


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a temporary directory that other users can reach; they cannot reach pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o701)
        yield Path(folder)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Make a directory in which at most one megabyte can be written."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(["mount", *options], check=False).returncode == 0:
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block after some seconds, as Ctrl-C does."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
