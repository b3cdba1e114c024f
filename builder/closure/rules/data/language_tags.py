"""Names of languages in paths: ``de``, ``pt_BR``, ``zh-Hant``, ``sr@latin``, ``german``."""

from __future__ import annotations

import re

_CODES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
    de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
    ia id ie ig ii ik in io is it iu iw ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg
    li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or
    os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta
    te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    ace ast bem ber brx byn ckb crh csb doi dsb fil fur gez haw hne hsb kab kok lzh mai mhr mni nds
    nso pap raj sah sat shn sco szl the tig unm wae wal yue
    """.split()  # noqa: SIM905
)
"""ISO 639-1 with former codes, and those of ISO 639-2 and 639-3 for which catalogs are common."""

_TAG = re.compile(
    r"([a-z]{2,3})(?:[-_][A-Za-z]{4})?(?:[-_](?:[A-Za-z]{2}|\d{3}))?(?:\.[\w-]*\d[\w-]*)?(?:@\w+)?"
)
"""Language, script, region, charset and modifier: BCP 47 and setlocale(3)."""

_SEPARATOR = re.compile(r"[-_.]")
_ENGLISH_NAMES = frozenset(
    """
    arabic brazilian bulgarian catalan chinese croatian czech danish dutch english estonian finnish
    french german greek hebrew hungarian indonesian italian japanese korean latvian lithuanian
    norwegian norwegian-ny persian polish portuguese romanian russian serbian slovak slovenian
    spanish swedish thai turkish ukrainian vietnamese
    """.split()  # noqa: SIM905
)


def is_language(name: str) -> bool:
    """Whether the whole name says a language."""
    return _is_tag(name) or name.lower() in _ENGLISH_NAMES


def split_language(stem: str) -> tuple[str, str] | None:
    """Split a file's stem: ``app.pt_BR`` is ``app.`` and ``pt_BR``; None without a language."""
    for start in (0, *(match.end() for match in _SEPARATOR.finditer(stem))):
        if _is_tag(stem[start:]):
            return stem[:start], stem[start:]
    return None


def _is_tag(name: str) -> bool:
    match = _TAG.fullmatch(name)
    return match is not None and match.group(1) in _CODES
