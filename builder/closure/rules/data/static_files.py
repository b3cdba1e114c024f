"""Static files of web applications: pages name styles, scripts, images and fonts."""

from __future__ import annotations

import re

from slimtrace.builder.closure.rules.data.family import Family, make_family_rule
from slimtrace.builder.model import Reason

_SUFFIXES = """
    .css .js .mjs .wasm .webmanifest .html .htm .json .txt .xml
    .png .jpg .jpeg .gif .svg .ico .webp .avif .bmp
    .woff .woff2 .ttf .otf .eot .mp3 .ogg .wav .mp4 .webm .pdf .swf
"""
_FOLDERS = re.compile(
    r"static|public|assets?|htdocs|html|www|web|webroot|wwwroot|css|js|javascripts?|styles(?:heets?)?"
    r"|images?|img|pics|pixmaps|media"
)

FAMILY = Family(Reason.STATIC_FILE, frozenset(_SUFFIXES.split()), _FOLDERS)

RULE = make_family_rule(
    FAMILY,
    "the other styles, scripts, images, fonts and pages in a folder such as `static`, `public` or "
    "`htdocs` from which a run read one; elsewhere those with the same suffix in the same folder, "
    "if no package of the system owns them",
)
