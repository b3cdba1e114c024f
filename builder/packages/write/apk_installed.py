"""apk's part: ``installed`` with the packages of what is kept, and of their files only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.packages.apk import read_apk_stanzas
from slimtrace.builder.packages.write.generated_file import GeneratedFile, read_mtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root


def make_installed(
    root: Root, packages: Sequence[Package], is_kept: Callable[[str], bool]
) -> Iterator[GeneratedFile]:
    """The one file.

    :param is_kept: of a path as databases list it.
    :raises SlimtraceError: the database cannot be read.
    """
    place, all_of_them = read_apk_stanzas(root)
    wanted = {package.name for package in packages}
    parts = [_filter_stanza(block, is_kept) for name, block in all_of_them if name in wanted]
    content = "".join(f"{part}\n\n" for part in parts).encode("utf-8", "surrogateescape")
    yield GeneratedFile(place, content, read_mtime(root, place))


def _filter_stanza(block: str, is_kept: Callable[[str], bool]) -> str:
    """Without the files that are not kept, and the directories that hold none of those that are.

    ``M`` says more of the directory ``F`` before it, ``a`` and ``Z`` of the file ``R``.
    """
    kept: list[str] = []
    folder = ""
    of_folder: list[str] = []
    take = True
    for line in block.strip("\n").split("\n"):
        name, _, value = line.partition(":")
        if name == "F":
            folder = f"/{value}" if value else ""
            of_folder, take = [line], False
        elif name == "M":
            of_folder.append(line)
        elif name == "R":
            take = is_kept(f"{folder}/{value}")
            if take:
                kept += [*of_folder, line]
                of_folder = []
        elif take or name not in {"a", "Z"}:
            kept.append(line)
    return "\n".join(kept)
