"""A virtual machine of another architecture: Debian's kernel in qemu, slimtrace in its initramfs.

It needs apt, Debian's keys and qemu (packages qemu-system-arm and qemu-system-x86), but not root.
It changes nothing outside its folder: apt has its own state there, and the initramfs is built from
packages that are not unpacked.
"""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from glob import glob
from typing import TYPE_CHECKING

from requirements import need, skip_missing

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
PACKAGES = ("busybox-static", "coreutils", "dash", "libpython3-stdlib", "python3-minimal")
SLIMTRACE = "opt/slimtrace"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_APT = """
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Sandbox::User "root";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::Cache "{state}";
Dir::Etc::sourcelist "{state}/sources";
Dir::Etc::sourceparts "-";
"""
_LEFT_OUT = re.compile(r"(usr/share/(doc|locale|man|info|lintian)|var)/")
_MERGED = re.compile(r"(bin|sbin|lib)(/|$)")
_NEWC = "070701"  # cpio(5)


@dataclass(frozen=True)
class Machine:
    """The names of an architecture in apt, pip and qemu.

    :ivar options: qemu's options for a console on stdout.
    """

    apt: str
    pip: str
    qemu: str
    console: str
    options: tuple[str, ...]


AARCH64 = Machine(
    *("arm64", "manylinux2014_aarch64", "qemu-system-aarch64", "ttyAMA0"),
    ("-M", "virt", "-cpu", "cortex-a72"),
)
X86_64 = Machine(
    *("amd64", "manylinux2014_x86_64", "qemu-system-x86_64", "ttyS0"),
    ("-M", "q35", "-cpu", "max"),
)


@dataclass
class VirtualMachine:
    """A work folder with a kernel and an initramfs.

    :ivar suite: Debian suite: bookworm has Linux 6.1 and Python 3.11, trixie 6.12 and 3.13.
    """

    folder: str
    machine: Machine = AARCH64
    suite: str = "bookworm"
    mirror: str = "http://deb.debian.org/debian"

    def __post_init__(self) -> None:
        need("apt-get", "dpkg-deb", self.machine.qemu)
        if not os.path.exists(KEYRING):
            skip_missing("debian-archive-keyring")

    def boot(self, script: str, seconds: float) -> str:
        """Run a shell script in the machine; return its console output.

        :raises subprocess.TimeoutExpired: it did not end; ``output`` is the console output so far.
        """
        kernel, initramfs = self._make(script)
        argv = [
            *(self.machine.qemu, *self.machine.options, "-smp", "2", "-m", "1024"),
            *("-accel", "tcg,thread=multi", "-nographic", "-nic", "none", "-no-reboot"),
            *("-kernel", kernel, "-initrd", initramfs),
            *("-append", f"console={self.machine.console} panic=-1 quiet loglevel=4"),
        ]
        done = subprocess.run(
            argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds
        )
        return done.stdout.decode(errors="replace").replace("\r", "")

    def _make(self, script: str) -> tuple[str, str]:
        """Make an initramfs that runs ``script``; return the paths of the kernel and of it."""
        kernel = os.path.join(self.folder, "vmlinuz")
        initramfs = os.path.join(self.folder, "initramfs")
        files = Initramfs()
        debs = self._download()
        for deb in debs:
            files.add_package(deb)
        files.add_tree(self._install(), SLIMTRACE)
        files.add("init", stat.S_IFREG | 0o755, _read(os.path.join(HERE, "init")))
        files.add("script", stat.S_IFREG | 0o755, script.encode())
        with open(kernel, "wb") as file:
            file.write(files.take("boot/vmlinuz-"))
        with open(initramfs, "wb") as file:
            file.write(files.archive())
        return kernel, initramfs

    def _download(self) -> list[str]:
        """Download the packages, their dependencies, and the newest small kernel of the suite."""
        state = os.path.join(self.folder, "apt")
        os.makedirs(os.path.join(state, "lists/partial"), exist_ok=True)
        os.makedirs(os.path.join(state, "archives/partial"), exist_ok=True)
        for name, text in (
            ("status", ""),
            ("sources", f"deb [signed-by={KEYRING}] {self.mirror} {self.suite} main\n"),
            ("conf", _APT.format(architecture=self.machine.apt, state=state)),
        ):
            with open(os.path.join(state, name), "w") as file:
                file.write(text)
        options = ("-c", os.path.join(state, "conf"))
        _run("apt-get", *options, "-q", "update")
        meta = f"linux-image-cloud-{self.machine.apt}"
        depends = _run("apt-cache", *options, "depends", meta)
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        assert found is not None, depends
        archives = os.path.join(state, "archives")
        _run("apt-get", *options, "-q", "download", found[1], cwd=archives)
        _run(
            *("apt-get", *options, "-qy", "install", "--download-only"),
            *("--no-install-recommends", *PACKAGES),
        )
        return sorted(glob(os.path.join(archives, "*.deb")))

    def _install(self) -> str:
        """Install slimtrace and its dependencies into a folder, for the machine's Python."""
        version = {"bookworm": "3.11", "trixie": "3.13"}[self.suite]
        wheels, target = (os.path.join(self.folder, name) for name in ("wheels", "site"))
        pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
        _run(*pip, "wheel", "--no-deps", "-w", wheels, SOURCE)
        _run(
            *(*pip, "install", "--upgrade", "--target", target, "--only-binary=:all:"),
            *("--platform", self.machine.pip, "--implementation", "cp"),
            *("--python-version", version, *glob(os.path.join(wheels, "slimtrace-*.whl"))),
        )
        return target


class Initramfs:
    """The files of one cpio archive in the kernel's initramfs format."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, bytes]] = {}
        for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr"):
            self.add(name, stat.S_IFDIR | 0o755, b"")
        for name in ("bin", "sbin", "lib"):  # /usr is merged, as packages expect
            self.add(f"usr/{name}", stat.S_IFDIR | 0o755, b"")
            self.add(name, stat.S_IFLNK | 0o777, f"usr/{name}".encode())

    def add(self, name: str, mode: int, content: bytes) -> None:
        """Add a file; for a symlink, ``content`` is the target."""
        self._files[name] = mode, content

    def take(self, prefix: str) -> bytes:
        """Remove the only file with this name prefix; return its content."""
        (name,) = (name for name in self._files if name.startswith(prefix))
        return self._files.pop(name)[1]

    def add_package(self, deb: str) -> None:
        """Add the files of a Debian package, without its documentation and kernel modules."""
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(data.stdout)) as tar:
            for member in tar:
                self._add_member(tar, member)

    def _add_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        if _MERGED.match(name):
            name = f"usr/{name}"
        if _LEFT_OUT.match(f"{name}/") or name.startswith("usr/lib/modules/"):
            return
        if member.isdir():
            if name not in self._files and name not in ("", "."):
                self.add(name, stat.S_IFDIR | member.mode, b"")
        elif member.issym():
            self.add(name, stat.S_IFLNK | 0o777, member.linkname.encode())
        elif member.isfile() or member.islnk():
            file = tar.extractfile(member)
            assert file is not None
            self.add(name, stat.S_IFREG | member.mode, file.read())

    def add_tree(self, folder: str, where: str) -> None:
        for part in _parents(f"{where}/."):
            self.add(part, stat.S_IFDIR | 0o755, b"")
        for top, folders, names in os.walk(folder):
            inside = os.path.normpath(os.path.join(where, os.path.relpath(top, folder)))
            for name in folders:
                self.add(f"{inside}/{name}", stat.S_IFDIR | 0o755, b"")
            for name in names:
                path = os.path.join(top, name)
                self.add(f"{inside}/{name}", stat.S_IFREG | 0o755, _read(path))

    def archive(self) -> bytes:
        """Return the archive; each directory precedes its files."""
        out = io.BytesIO()
        for number, name in enumerate(sorted(self._files), start=1):
            _entry(out, number, name, *self._files[name])
        _entry(out, 0, "TRAILER!!!", 0, b"")
        return out.getvalue()


def _entry(out: io.BytesIO, number: int, name: str, mode: int, content: bytes) -> None:
    raw = name.encode() + b"\0"
    numbers = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0)
    out.write(_NEWC.encode() + b"".join(b"%08x" % value for value in numbers) + raw)
    out.write(bytes(-out.tell() % 4) + content)
    out.write(bytes(-out.tell() % 4))


def _parents(path: str) -> Iterable[str]:
    argv = path.split("/")[:-1]
    return ("/".join(argv[: count + 1]) for count in range(len(argv)))


def _run(*argv: str, cwd: str | None = None) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
