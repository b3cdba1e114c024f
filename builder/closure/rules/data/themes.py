"""Themes: users and settings choose one by its name."""

from __future__ import annotations

import re

from slimtrace.builder.closure.rules.data.family import Family, make_family_rule
from slimtrace.builder.model import Reason

FAMILY = Family(
    Reason.THEME,
    None,
    re.compile(r"themes?|skins?|styles|color-?schemes?|palettes?|wallpapers?|icons"),
)

RULE = make_family_rule(
    FAMILY,
    "the other files in a folder such as `themes`, `skins` or `icons` from which a run read one, "
    "those of the other themes included; no code",
)
