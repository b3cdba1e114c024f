"""dpkg's part: ``status.d``, as images without dpkg have it (GoogleContainerTools/distroless).

``NAME`` holds the package's control fields, ``NAME.md5sums`` the sums of its files. By the latter
scanners know that a Python or Node package is part of a Debian one, and do not report it twice;
trivy before 0.65 by ``info/NAME.list``, which names links and settings too.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from slimtrace.builder.packages.dpkg import ADMIN, parse_stanzas, read_diversions
from slimtrace.builder.packages.package import read_database
from slimtrace.builder.packages.write.generated_file import GeneratedFile, read_mtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root

STATUS = f"{ADMIN}/status"
_STATUS_D = f"{ADMIN}/status.d"
_INFO = f"{ADMIN}/info"
_ADDED_BY_DPKG = frozenset(
    {"Status", "Config-Version", "Conffiles", "Triggers-Pending", "Triggers-Awaited"}
)
"""What the package's own control file does not have (dpkg's lib/dpkg/parse.c)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
"""A package's name (Debian Policy 5.6.7), and no path that leads elsewhere."""


def copyright_path(package: Package) -> str:
    """Where its copyright file is looked up (Debian Policy 12.5)."""
    return f"/usr/share/doc/{package.name}/copyright"


def md5sums_path(package: Package) -> str:
    """Where the full image has the package's md5sums."""
    return package.records[-1].removesuffix(".list").removesuffix(".md5sums") + ".md5sums"


def make_status_d(
    root: Root,
    packages: Sequence[Package],
    is_kept: Callable[[str], bool],
    is_made: Callable[[str], bool],
) -> Iterator[GeneratedFile]:
    """The three files of each package.

    :param is_kept: of a path as databases list it; ``is_made`` of one whose bytes the build made,
        and not the package.
    :raises SlimtraceError: the database cannot be read.
    """
    texts = _read_control_texts(root)
    moved = {(divert.original, divert.by): divert.to for divert in read_diversions(root)}
    diverted = {original for original, _ in moved}
    several = Counter(package.name for package in packages)

    def lies_at(package: Package, file: str) -> str:
        if file in diverted and (file, package.name) not in moved:
            return next(to for (original, _), to in moved.items() if original == file)
        return file

    for package in packages:
        name = package.name
        if not _NAME.fullmatch(name):
            continue
        if several[name] > 1:  # of several architectures
            name += f":{package.architecture}"
        record = package.records[0]
        text = texts.get((package.name, package.architecture)) or read_database(root, record)
        mtime_ns = read_mtime(root, STATUS) or read_mtime(root, record)
        yield GeneratedFile(f"{_STATUS_D}/{name}", _encode(_filter_fields(text)), mtime_ns)
        lines = [line for line in read_database(root, md5sums_path(package)).split("\n") if line]
        places = [(line, lies_at(package, _parse_path(line))) for line in lines]
        sums = [line for line, place in places if is_kept(place) and not is_made(place)]
        if lines:
            content = _encode("".join(f"{line}\n" for line in sums))
            yield GeneratedFile(f"{_STATUS_D}/{name}.md5sums", content, mtime_ns)
        files = "".join(f"{file}\n" for file in package.files if is_kept(file))
        yield GeneratedFile(f"{_INFO}/{name}.list", _encode(files), mtime_ns)


def _parse_path(line: str) -> str:
    return "/" + line.partition("  ")[2].removeprefix("./").lstrip("/")


def _read_control_texts(root: Root) -> dict[tuple[str, str], str]:
    found = {}
    for block in read_database(root, STATUS).split("\n\n"):
        for stanza in parse_stanzas(block):
            found[stanza.get("Package", ""), stanza.get("Architecture", "")] = block
    return found


def _filter_fields(text: str) -> str:
    kept = []
    take = False
    for line in text.strip("\n").split("\n"):
        if line[:1] not in {" ", "\t"}:
            take = line.partition(":")[0] not in _ADDED_BY_DPKG
        if take:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
