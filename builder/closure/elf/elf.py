"""Reads what an ELF file needs to be loaded (elf(5))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from slimtrace.builder.model import Kind
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from slimtrace.builder.root.root import Root

MAGIC = b"\x7fELF"
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class ElfInfo:
    """The part of an ELF file that its loader reads.

    :ivar bits: 32 or 64 (EI_CLASS).
    :ivar machine: e_machine without its prefix, as ``X86_64``, ``386``, ``AARCH64``.
    :ivar interpreter: PT_INTERP; None for libraries and static programs.
    :ivar rpath: elements of DT_RPATH; empty if there is a DT_RUNPATH, which overrides it.
    :ivar runpath: elements of DT_RUNPATH.
    """

    bits: int
    machine: str
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()

    def has_same_abi(self, other: ElfInfo) -> bool:
        """Whether the loader of one accepts the other."""
        return self.bits == other.bits and self.machine == other.machine


class ElfFiles:
    """The full image's ELF files, each parsed once."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._read: dict[str, ElfInfo | None] = {}

    def read(self, path: str) -> ElfInfo | None:
        """Read the file at a resolved path; None if it is no ELF file or is damaged.

        The loader cannot load a damaged file, so it needs nothing.
        """
        if path not in self._read:
            self._read[path] = self._parse(path)
        return self._read[path]

    def _parse(self, path: str) -> ElfInfo | None:
        if self._root.kind(path) is not Kind.FILE:
            return None
        try:
            with self._root.open(path) as file:
                if file.read(len(MAGIC)) != MAGIC:
                    return None
                file.seek(0)
                return parse_elf(file, read_elf_info)
        except SlimtraceError:
            return None


def parse_elf(file: Any, read: Callable[[Any], _Read]) -> _Read | None:
    """Call ``read`` with the ELFFile of a file; None if the file is damaged."""
    from elftools.common.exceptions import ELFError  # noqa: PLC0415 -- slow to import
    from elftools.construct import ConstructError  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        return read(ELFFile(file))
    except (ELFError, ConstructError, ValueError, KeyError, IndexError, OverflowError, OSError):
        return None
    except (AttributeError, TypeError, AssertionError):  # a header that points past the end
        return None


def list_read_only_spans(elf: Any) -> list[tuple[int, int]]:
    """List the start and end offsets of the sections ``.rodata*``; none without section headers."""
    return [
        (int(section["sh_offset"]), int(section["sh_offset"] + section["sh_size"]))
        for section in elf.iter_sections()
        if section.name.startswith(".rodata") and section["sh_type"] != "SHT_NOBITS"
    ]


def read_elf_info(elf: Any) -> ElfInfo:
    """Read the fields of ElfInfo from an ELFFile."""
    interpreter: str | None = None
    tags: dict[str, list[str]] = {}
    segments: Iterable[Any] = elf.iter_segments()
    for segment in segments:
        if segment.header.p_type == "PT_INTERP":
            interpreter = segment.get_interp_name()
        elif segment.header.p_type == "PT_DYNAMIC":
            tags = _read_dynamic_tags(segment)
    return ElfInfo(
        elf.elfclass,
        str(elf.header.e_machine).removeprefix("EM_"),
        interpreter,
        next(iter(tags["DT_SONAME"]), None) if "DT_SONAME" in tags else None,
        tuple(tags.get("DT_NEEDED", ())),
        () if "DT_RUNPATH" in tags else _split_path(tags.get("DT_RPATH")),
        _split_path(tags.get("DT_RUNPATH")),
    )


_TAG_ATTRIBUTES = {
    "DT_NEEDED": "needed",
    "DT_RPATH": "rpath",
    "DT_RUNPATH": "runpath",
    "DT_SONAME": "soname",
}


def _read_dynamic_tags(segment: Any) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    for tag in segment.iter_tags():
        name = str(tag.entry.d_tag)
        if name in _TAG_ATTRIBUTES:
            tags.setdefault(name, []).append(getattr(tag, _TAG_ATTRIBUTES[name]))
    return tags


def _split_path(values: list[str] | None) -> tuple[str, ...]:
    return tuple(values[0].split(":")) if values and values[0] else ()
