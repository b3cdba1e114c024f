"""Debian roots as layers: the minimal base once, and for each set of packages what it adds.

mmdebstrap needs about 25 s of CPU for the minimal base. Here it is made once, and apt-get of the
base itself adds the packages in an overlay (mount(8)), as `RUN apt-get install` does. Where no
overlay can be mounted, mmdebstrap makes each root as one layer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from commands import call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def make_debian_layers(
    packages: Sequence[str], folder: Path, shared: Path, setup: Sequence[str] = ()
) -> list[Path]:
    """Make the tarballs of a root with Debian's minimal base and these packages.

    :param folder: for the tarballs that no other root uses.
    :param shared: for the minimal base, which all roots share.
    :param setup: shell commands that are then run in the root.
    :raises SampleError: a command failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or not _can_overlay(folder):
        tar = folder / "root.tar"
        make_debian_tarball(packages, tar, setup)
        return [tar]
    minimal = _make_minimal(shared)
    return [minimal / "minimal.tar", _add_packages(minimal / "tree", packages, setup, folder)]


def make_debian_tarball(packages: Sequence[str], tar: Path, setup: Sequence[str] = ()) -> None:
    """Make one tarball of Debian's minimal base and these packages.

    :raises SampleError: a command failed.
    """
    hooks = [f'--customize-hook=chroot "$1" {command}' for command in setup]
    # force-unsafe-io saves an fsync per file; mmdebstrap leaves the option in the image.
    hooks.append('--customize-hook=rm -f "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"')
    options = ("--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io")
    include = [f"--include={','.join(packages)}"] if packages else []
    call("mmdebstrap", *options, *include, *hooks, "bookworm", str(tar))


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Let no other process into the blocks with this lock file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_minimal(shared: Path) -> Path:
    """Make the folder with ``minimal.tar`` and ``tree``, which has apt's lists too."""
    done, part = shared / "debian-minimal", shared / "debian-minimal.part"
    with lock(shared / "debian-minimal.lock"):
        if not done.exists():
            shutil.rmtree(part, ignore_errors=True)
            (part / "tree").mkdir(parents=True)
            make_debian_tarball((), part / "minimal.tar")
            # The device nodes of the tarball are not needed: the host's /dev is mounted.
            unpack = ("tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(part / "tree"))
            call(*unpack, "-xpf", str(part / "minimal.tar"))
            _run_in_root(part, part / "tree", ["apt-get -qq update"])
            os.rename(part, done)
    return done


_APT = "apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io"
_LEFT_OUT = (
    *("etc/resolv.conf", "tmp", "var/cache/apt", "var/cache/ldconfig", "var/lib/apt/lists"),
    *("var/lib/dpkg/status-old", "var/log/alternatives.log", "var/log/apt", "var/log/dpkg.log"),
)
"""What mmdebstrap removes at its end, and what is the host's."""


def _add_packages(tree: Path, packages: Sequence[str], setup: Sequence[str], folder: Path) -> Path:
    upper, tar = folder / "upper", folder / "packages.tar"
    commands = [f"{_APT} {' '.join(packages)}", *setup]
    _run_in_root(folder, tree, commands, upper)
    _convert_whiteouts(upper)
    left_out = [f"--exclude=./{path}" for path in _LEFT_OUT]
    call("tar", "--numeric-owner", *left_out, "-C", str(upper), "-cf", str(tar), ".")
    shutil.rmtree(upper)
    return tar


# Its arguments: the lower tree, the upper folder (empty to write to the lower one), a work folder,
# the mount point, and the commands. Its mount namespace ends with it.
_SCRIPT = """
lower=$1 upper=$2 work=$3 root=$4; shift 4
if [ "$upper" ]; then
    mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work,redirect_dir=off" \
        overlay "$root"
else
    mount --bind "$lower" "$root"
fi
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
for command; do
    env -i PATH="$PATH" DEBIAN_FRONTEND=noninteractive chroot "$root" sh -c "$command"
done
"""


def _run_in_root(
    folder: Path, lower: Path, commands: Sequence[str], upper: Path | None = None
) -> None:
    """Run shell commands in a tree, or in an overlay that keeps the changes in ``upper``."""
    work, root = folder / "work", folder / "root"
    for path in filter(None, (upper, work, root)):
        path.mkdir()
    argv = (str(lower), str(upper or ""), str(work), str(root), *commands)
    call("unshare", "--mount", "sh", "-euc", _SCRIPT, "sh", *argv)
    root.rmdir()
    shutil.rmtree(work)


def _can_overlay(folder: Path) -> bool:
    """Whether an overlay can be mounted with its upper folder on this file system."""
    probe = folder / "probe"
    lower, upper, work, root = (probe / name for name in ("lower", "upper", "work", "root"))
    for path in (lower, upper, work, root):
        path.mkdir(parents=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    argv = ("unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", str(root))
    done = subprocess.run(argv, check=False, capture_output=True)
    shutil.rmtree(probe)
    return done.returncode == 0


def _convert_whiteouts(upper: Path) -> None:
    """Turn the overlay's whiteouts into those of layers (OCI image-spec, layer.md)."""
    for top, folders, names in os.walk(upper):
        for name in names:
            path = os.path.join(top, name)
            status = os.lstat(path)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                os.unlink(path)
                _touch(os.path.join(top, f".wh.{name}"))
        for name in folders:
            path = os.path.join(top, name)
            if not os.path.islink(path) and "trusted.overlay.opaque" in os.listxattr(path):
                _touch(os.path.join(path, ".wh..wh..opq"))


def _touch(path: str) -> None:
    with open(path, "x"):
        pass
