"""Time zones: users have theirs, and ``TZ`` comes from outside.

All zones are half a megabyte; minimal base images have them too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.data.family import walk_files
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.languages.library_folders import is_library

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

_SYSTEM = "/usr/share/zoneinfo"
_LOCAL = "/etc/localtime"
_ZONE = re.compile(r"(.*/(?:zoneinfo|timezonesets))(?:/.*)?")
"""PostgreSQL keeps abbreviations of zones in ``timezonesets``."""

_LIBRARY = re.compile(
    r".*/(?:zoneinfo/(?:__init__|_tzpath)\.py|pytz/__init__\.py|dateutil/tz/tz\.py"
    r"|tzinfo/data_sources/zoneinfo_data_source\.rb|DateTime/TimeZone/Local/Unix\.pm)"
)
"""Libraries that look up the system's zones by name."""

_DUPLICATES = ("posix", "right")
"""Copies of all zones; ``right`` counts leap seconds, which nothing in a container does."""


def find_time_zones(context: RuleContext, path: str) -> Iterable[Need]:
    """Find all zones, where a run read one or a library for them is kept."""
    folders: list[str] = []
    if path == "/":
        if _LOCAL in context.missing or any(map(_is_system_zone, context.missing)):
            folders = [_SYSTEM]
    elif "/zoneinfo" in path or "/timezonesets/" in path:
        zone = _ZONE.fullmatch(path)
        if zone and path in context.touched and not is_library(path):
            folders = [zone.group(1)]
        elif _LIBRARY.fullmatch(path):
            folders = [_SYSTEM]
    elif (path == _LOCAL and path in context.read) or _LIBRARY.fullmatch(path):
        folders = [_SYSTEM]
    done = context.get_done(Reason.ZONEINFO)
    for folder in folders:
        if folder not in done and context.root.kind(folder) is Kind.DIRECTORY:
            done.add(folder)
            yield from _list_zones(context, folder)


def _is_system_zone(path: str) -> bool:
    return path.startswith(f"{_SYSTEM}/")


def _list_zones(context: RuleContext, folder: str) -> Iterable[Need]:
    for name in context.root.listdir(folder):
        path = f"{folder}/{name}"
        if context.root.kind(path) is Kind.DIRECTORY:
            if name not in _DUPLICATES:
                yield from (Need(file, Reason.ZONEINFO) for file in walk_files(context, path))
        else:
            yield Need(path, Reason.ZONEINFO)


RULE = ClosureRule(
    Reason.ZONEINFO,
    find_time_zones,
    "all time zones of the full image, where a run read one (`/etc/localtime` is one) or a library "
    "for time zones is kept",
    Keep.APP,
)
