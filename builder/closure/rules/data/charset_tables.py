"""Tables of character sets: the text that arrives names its own."""

from __future__ import annotations

import re

from slimtrace.builder.closure.rules.data.family import Family, make_family_rule
from slimtrace.builder.model import Reason

FAMILY = Family(
    Reason.CHARSET_TABLE,
    None,
    re.compile(r"char-?sets?|charmaps?|encodings?|codepages?|code-?tables?|translit|unicode"),
    is_of_programs=True,
)

RULE = make_family_rule(
    FAMILY,
    "the other tables in a folder such as `charsets`, `charmaps` or `encoding` from which a run "
    "read one, and those in the package of a program that ran; no code",
)
