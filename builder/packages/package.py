"""What a package is, whatever manager installed it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package, as its database tells.

    :ivar kind: the purl type (package-url's PURL-TYPES): ``deb``, ``apk``, ``rpm``, ``pypi``,
        ``npm``, ``gem``.
    :ivar version: in full, as ``1:2.3-4`` or ``2.3-r4``.
    :ivar architecture: as the manager writes it; "" where there is none.
    :ivar source: the source package (of an rpm its file's name), its own name where none is said.
    :ivar files: paths of all that it installed, as the database spells them; directories among
        them where the database lists them. Some may be gone, or lie behind a symlink.
    :ivar records: the files that say so of this package alone.
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    files: tuple[str, ...] = field(default=(), repr=False)
    records: tuple[str, ...] = field(default=(), repr=False)
