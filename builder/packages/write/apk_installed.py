"""Makes apk's database ``installed`` with only the kept packages and files."""

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
    """Make the database.

    :param is_kept: whether a path, as databases list it, is in the image.
    :raises SlimtraceError: the database cannot be read.
    """
    path, stanzas = read_apk_stanzas(root)
    names = {package.name for package in packages}
    parts = [_filter_stanza(stanza, is_kept) for name, stanza in stanzas if name in names]
    content = "".join(f"{part}\n\n" for part in parts).encode("utf-8", "surrogateescape")
    yield GeneratedFile(path, content, read_mtime(root, path))


def _filter_stanza(block: str, is_kept: Callable[[str], bool]) -> str:
    """The stanza without files that are not kept, and without directories that have no kept file.

    ``M`` belongs to the directory ``F`` before it, ``a`` and ``Z`` to the file ``R`` before them.
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
