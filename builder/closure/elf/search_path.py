"""Where a dynamic loader looks when nothing tells it otherwise, per ABI."""

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
_INCLUDES = 8
"""How deep ``include`` lines may nest before a loop is assumed."""


def list_default_directories(elf: ElfInfo) -> list[str]:
    """The trusted directories compiled into glibc's loaders: Debian's, then the upstream ones."""
    triplet, lib, _ = _TRIPLETS.get((elf.bits, elf.machine), _UNKNOWN)
    found = [f"/lib/{triplet}", f"/usr/lib/{triplet}"] if triplet else []
    found += [f"/{lib}", f"/usr/{lib}", "/lib", "/usr/lib"]
    return list(dict.fromkeys(found))


def read_configured_directories(root: Root) -> list[str]:
    """What ldconfig(8) would cache: the directories of ``/etc/ld.so.conf``.

    The loader itself never reads that file; this serves images that were made without a cache.
    """
    return list(dict.fromkeys(_configured(root, "/etc/ld.so.conf", _INCLUDES)))


def read_musl_directories(root: Root, arch: str) -> tuple[list[str], str | None]:
    """The system path of musl, and the path file that gives it, if one does (dynlink.c)."""
    name = f"/etc/ld-musl-{arch}.path"
    text = _text(root, name)
    if text is None:
        return ["/lib", "/usr/local/lib", "/usr/lib"], None
    return [folder for folder in re.split(r"[\n:]", text) if folder], name


def list_token_values(elf: ElfInfo) -> dict[str, tuple[str, ...]]:
    """What ``$LIB`` and ``$PLATFORM`` may stand for (ld.so(8)): distributions differ in LIB."""
    triplet, lib, platform = _TRIPLETS.get((elf.bits, elf.machine), _UNKNOWN)
    libs = (f"lib/{triplet}", lib, "lib") if triplet else (lib, "lib")
    return {"LIB": tuple(dict.fromkeys(libs)), "PLATFORM": (platform,) if platform else ()}


def _configured(root: Root, path: str, depth: int) -> list[str]:
    found: list[str] = []
    for raw in (_text(root, path) or "").splitlines():
        line = raw.split("#", 1)[0].strip()
        words = line.split()
        if words[:1] == ["include"] and depth:
            for pattern in words[1:]:
                base = pattern if pattern.startswith("/") else f"/etc/{pattern}"
                for name in _matches(root, base):
                    found += _configured(root, name, depth - 1)
        elif line.startswith("/"):
            found.append(line.split("=", 1)[0].rstrip("/"))
    return found


def _matches(root: Root, pattern: str) -> list[str]:
    folder, _, last = pattern.rpartition("/")
    names = root.listdir(root.resolve(folder).path)
    return [f"{folder}/{name}" for name in names if fnmatchcase(name, last)]


def _text(root: Root, path: str) -> str | None:
    found = root.resolve(path)
    if not found.exists:
        return None
    return root.head(found.path, 1 << 16).decode("utf-8", "surrogateescape")
