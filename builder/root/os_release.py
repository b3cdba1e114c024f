"""Parses os-release(5), the name and version of a distribution."""

from __future__ import annotations

import re

OS_RELEASE_PATHS = ("/etc/os-release", "/usr/lib/os-release")
"""The first one that exists is valid."""

# As platform.freedesktop_os_release does, which reads this machine's file only.
_ASSIGNMENT = re.compile(r"""(?P<name>[a-zA-Z0-9_]+)=(?P<quote>["']?)(?P<value>.*)(?P=quote)""")
_ESCAPED = re.compile(r"""\\([\\$"'`])""")


def parse_os_release(text: str) -> dict[str, str]:
    """The fields, without quotes and backslashes; lines that are no assignment are ignored."""
    matches = (_ASSIGNMENT.fullmatch(line.strip()) for line in text.splitlines())
    return {match["name"]: _ESCAPED.sub(r"\1", match["value"]) for match in matches if match}
