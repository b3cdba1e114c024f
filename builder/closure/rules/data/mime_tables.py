"""Tables of file types, which a server reads when it sends the first file of an unknown kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Keep, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

_TYPES = ("/etc/mime.types", "/etc/apache2/mime.types", "/etc/mailcap")
_SHARED = (
    *("mime.cache", "globs", "globs2", "magic", "aliases", "subclasses", "generic-icons", "icons"),
    *("treemagic", "types", "XMLnamespaces"),
)
"""What update-mime-database(1) makes, without the descriptions of each type."""

_READERS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r".*/(?:mimetypes\.py|mod_mime\.so|LWP/MediaTypes\.pm|mod_mimemagic\.so)"), _TYPES),
    (
        re.compile(
            r".*/(?:libgio-2\.0|libgdk_pixbuf-2\.0|libQt[56]Core|libKF[56]\w*|libmimetic"
            r"|libxdgmime)\.so[\d.]*|/usr/share/mime/.*|.*/File/MimeInfo\.pm|.*/xdg/Mime\.py"
        ),
        tuple(f"/usr/share/mime/{name}" for name in _SHARED),
    ),
    (
        re.compile(r".*/libmagic\.so[\d.]*"),
        (
            *("/etc/magic", "/etc/magic.mime", "/usr/share/misc/magic.mgc"),
            *("/usr/share/file/magic.mgc", "/usr/share/misc/magic", "/usr/lib/file/magic.mgc"),
        ),
    ),
)
_HINT = re.compile(r"[mM]ime|Media|/lib(?:gio|gdk|Qt|KF|magic|xdg)")


def find_mime_tables(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the tables that a kept library reads, once it needs them."""
    if not _HINT.search(path):
        return
    for reader, tables in _READERS:
        if reader.fullmatch(path):
            yield from (
                Need(table, Reason.MIME_TABLE)
                for table in tables
                if context.root.resolve(table).exists
            )


RULE = ClosureRule(
    Reason.MIME_TABLE,
    find_mime_tables,
    "the system's tables of file types (`/etc/mime.types`, those of shared-mime-info, libmagic's), "
    "where a library that reads them is kept",
    Keep.APP,
)
