"""Makes dpkg's ``status.d``, as images without dpkg have it (GoogleContainerTools/distroless).

``NAME`` has the package's control fields, ``NAME.md5sums`` the checksums of its files. From the
latter, scanners know that a Python or Node package belongs to a Debian package, and do not report
it twice. trivy before 0.65 reads ``info/NAME.list``, which also lists links and settings.
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
"""Fields that are not in the package's own control file (dpkg's lib/dpkg/parse.c)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
"""A package name (Debian Policy 5.6.7); it cannot be a path to another folder."""


def copyright_path(package: Package) -> str:
    """The path of its copyright file (Debian Policy 12.5)."""
    return f"/usr/share/doc/{package.name}/copyright"


def md5sums_path(package: Package) -> str:
    """The path of the package's md5sums in the full image."""
    return package.records[-1].removesuffix(".list").removesuffix(".md5sums") + ".md5sums"


def make_status_d(
    root: Root,
    packages: Sequence[Package],
    is_kept: Callable[[str], bool],
    is_made: Callable[[str], bool],
) -> Iterator[GeneratedFile]:
    """Make the three files of each package.

    :param is_kept: whether a path, as databases list it, is in the image.
    :param is_made: whether the build wrote the bytes of such a path.
    :raises SlimtraceError: the database cannot be read.
    """
    texts = _read_control_texts(root)
    moved = {(divert.original, divert.by): divert.to for divert in read_diversions(root)}
    diverted = {original for original, _ in moved}
    counts = Counter(package.name for package in packages)

    def find_diverted(package: Package, file: str) -> str:
        if file in diverted and (file, package.name) not in moved:
            return next(to for (original, _), to in moved.items() if original == file)
        return file

    for package in packages:
        name = package.name
        if not _NAME.fullmatch(name):
            continue
        if counts[name] > 1:  # of several architectures
            name += f":{package.architecture}"
        record = package.records[0]
        text = texts.get((package.name, package.architecture)) or read_database(root, record)
        mtime_ns = read_mtime(root, STATUS) or read_mtime(root, record)
        yield GeneratedFile(f"{_STATUS_D}/{name}", _encode(_filter_fields(text)), mtime_ns)
        lines = [line for line in read_database(root, md5sums_path(package)).split("\n") if line]
        paths = [(line, find_diverted(package, _parse_path(line))) for line in lines]
        sums = [line for line, path in paths if is_kept(path) and not is_made(path)]
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
