"""The default search path of dynamic loaders, for each ABI."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.closure.elf.elf import ElfInfo
    from slimtrace.builder.root.root import Root

_TRIPLETS = {
    (64, "X86_64"): ("x86_64-linux-gnu", "lib64", "x86_64"),
    (32, "X86_64"): ("x86_64-linux-gnux32", "libx32", "x86_64"),
    (32, "386"): ("i386-linux-gnu", "lib32", "i686"),
    (64, "AARCH64"): ("aarch64-linux-gnu", "lib64", "aarch64"),
    (32, "ARM"): ("arm-linux-gnueabihf", "lib", "v7l"),
    (64, "PPC64"): ("powerpc64le-linux-gnu", "lib64", "power8"),
    (64, "S390"): ("s390x-linux-gnu", "lib64", "z13"),
    (64, "RISCV"): ("riscv64-linux-gnu", "lib64", "riscv64"),
}
_UNKNOWN = ("", "lib64", "")
_MAX_CONF_BYTES = 1 << 16
_MAX_INCLUDE_DEPTH = 8
"""If ``include`` lines nest deeper, they form a loop."""


def list_default_directories(elf: ElfInfo) -> list[str]:
    """List the directories that are compiled into glibc's loaders: Debian's, then upstream's."""
    triplet, lib, _ = _TRIPLETS.get((elf.bits, elf.machine), _UNKNOWN)
    folders = [f"/lib/{triplet}", f"/usr/lib/{triplet}"] if triplet else []
    folders += [f"/{lib}", f"/usr/{lib}", "/lib", "/usr/lib"]
    return list(dict.fromkeys(folders))


def read_configured_directories(root: Root) -> list[str]:
    """Read the directories of ``/etc/ld.so.conf``, whose libraries ldconfig(8) would cache.

    The loader itself never reads this file. It is read here for images without a cache.
    """
    return list(dict.fromkeys(_read_ld_conf(root, "/etc/ld.so.conf", _MAX_INCLUDE_DEPTH)))


def read_musl_directories(root: Root, arch: str) -> tuple[list[str], str | None]:
    """Read musl's system path, and the name of the file that sets it, if any (dynlink.c)."""
    name = f"/etc/ld-musl-{arch}.path"
    text = _read_text(root, name)
    if text is None:
        return ["/lib", "/usr/local/lib", "/usr/lib"], None
    return [folder for folder in re.split(r"[\n:]", text) if folder], name


def list_token_values(elf: ElfInfo) -> dict[str, tuple[str, ...]]:
    """List the possible values of ``$LIB`` and ``$PLATFORM`` (ld.so(8)).

    Distributions differ in ``$LIB``.
    """
    triplet, lib, platform = _TRIPLETS.get((elf.bits, elf.machine), _UNKNOWN)
    libs = (f"lib/{triplet}", lib, "lib") if triplet else (lib, "lib")
    return {"LIB": tuple(dict.fromkeys(libs)), "PLATFORM": (platform,) if platform else ()}


def _read_ld_conf(root: Root, path: str, depth: int) -> list[str]:
    folders: list[str] = []
    for raw in (_read_text(root, path) or "").splitlines():
        line = raw.split("#", 1)[0].strip()
        fields = line.split()
        if fields[:1] == ["include"] and depth:
            for pattern in fields[1:]:
                base = pattern if pattern.startswith("/") else f"/etc/{pattern}"
                for name in _list_matches(root, base):
                    folders += _read_ld_conf(root, name, depth - 1)
        elif line.startswith("/"):
            folders.append(line.split("=", 1)[0].rstrip("/"))
    return folders


def _list_matches(root: Root, pattern: str) -> list[str]:
    folder, _, last = pattern.rpartition("/")
    names = root.listdir(root.resolve(folder).path)
    return [f"{folder}/{name}" for name in names if fnmatchcase(name, last)]


def _read_text(root: Root, path: str) -> str | None:
    own = root.resolve(path)
    if not own.exists:
        return None
    return root.head(own.path, _MAX_CONF_BYTES).decode("utf-8", "surrogateescape")
