"""Texts of errors: they are read when the error happens."""

from __future__ import annotations

import re

from slimtrace.builder.closure.rules.data.family import Family, make_family_rule
from slimtrace.builder.model import Reason

_SUFFIXES = frozenset(
    ("", ".html", ".htm", ".http", ".txt", ".text", ".json", ".xml", ".var", ".sys", ".msg", ".err")
)

FAMILY = Family(
    Reason.ERROR_TEXT,
    _SUFFIXES,
    re.compile(r"errors?|error[-_]?(?:pages?|docs?|messages?|templates?)|errmsgs?|errfiles"),
    is_of_programs=True,
)

RULE = make_family_rule(
    FAMILY,
    "the other pages and messages in a folder such as `errors` from which a run read one, and "
    "those in the package of a program that ran",
)
