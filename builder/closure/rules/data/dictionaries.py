"""Dictionaries: the language of a text decides which one is read."""

from __future__ import annotations

import re

from slimtrace.builder.closure.rules.app.bounds import Bound
from slimtrace.builder.closure.rules.data.family import Family, make_family_rule
from slimtrace.builder.model import Reason

BOUND = Bound(files=2_000, size=64 << 20)
"""A dictionary has some megabytes."""

FAMILY = Family(
    Reason.DICTIONARY,
    None,
    re.compile(
        r"hunspell|myspell|aspell[\d.-]*|ispell|enchant|hyphen(?:ation)?|mythes|thesaur(?:us|i)"
        r"|spell(?:ing)?|dict|dicts|dictionar(?:y|ies)|word-?lists?|stop[-_]?words?|stemmers?"
        r"|tsearch_data|corpora|cracklib|tessdata"
    ),
    BOUND,
    is_across_packages=True,
    is_of_programs=True,
)

RULE = make_family_rule(
    FAMILY,
    "the other dictionaries in a folder such as `hunspell`, `dict` or `tsearch_data` from which a "
    "run read one, those of other packages too: each language has its own; and those in the "
    "package of a program that ran. Nothing of a folder of more than 64 MiB",
)
