"""Compares one answer of the full image with the slim image's answer to the same question."""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import orjson

from slimtrace.builder.compare.volatile_text import mask_volatile
from slimtrace.tracer.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from slimtrace.tracer.trace.answers import Answer

_MAX_LINES = 20_000
"""Of longer texts only the bytes are compared."""
_MAX_EXACT_LINES = 1_000
"""Longer texts are compared by lines that are not frequent: difflib takes quadratic time."""
_MAX_SHOWN_CHARS = 120
_LINE_ENDS = re.compile(r"\n|(?<=>)(?=<)")
"""A line of HTML may be the whole page."""
_WORD = re.compile(r"\w+|\W")


class TimedAnswer(NamedTuple):
    """An answer, and when it came."""

    answer: Answer
    came: datetime


class AnswerDifference(NamedTuple):
    """How an answer differs.

    :ivar fact: half a sentence, as ``status 500, but 200 in the full image``.
    :ivar full: the first line that differs, in the full image's answer; empty for none.
    :ivar slim: the same of the slim image.
    """

    fact: str
    full: str = ""
    slim: str = ""


def find_difference(full: Sequence[TimedAnswer], slim: TimedAnswer) -> AnswerDifference | None:
    """How the slim image's answer differs from the full image's; None if it does not.

    :param full: the answers of one or two starts of the full image. What differs between them is
        masked.
    """
    first, now = full[0].answer, slim.answer
    statuses = {each.answer.status for each in full}
    if now.status not in statuses:
        if len(statuses) > 1:
            return None  # the full image does not agree with itself
        fact = f"{describe_status(now)}, but {describe_status(first)} in the full image"
        return AnswerDifference(fact, slim=_shorten(_find_last_line(now)))
    alike = [each for each in full if each.answer.status == now.status]
    if now.media_type not in {each.answer.media_type for each in alike}:
        if _differ([each.answer.media_type for each in alike]):
            return None
        was = alike[0].answer.media_type
        return AnswerDifference(f"type {now.media_type!r}, but {was!r} in the full image")
    return _compare_bodies(alike, slim)


def is_unstable(full: Sequence[TimedAnswer]) -> bool:
    """Whether two starts of the full image gave answers of which nothing can be compared."""
    return _differ([each.answer.status for each in full])


def describe_status(answer: Answer) -> str:
    """The status, or that there is none."""
    return "no answer" if answer.status is None else f"status {answer.status}"


class _Text(NamedTuple):
    """The lines of a body.

    :ivar masked: without what changes from one start to the next.
    :ivar lines: the same lines as they came.
    """

    masked: list[str]
    lines: list[str]

    def sort(self) -> _Text:
        pairs = sorted(zip(self.masked, self.lines, strict=True))
        return _Text([masked for masked, _ in pairs], [line for _, line in pairs])


def _compare_bodies(full: Sequence[TimedAnswer], slim: TimedAnswer) -> AnswerDifference | None:
    now = slim.answer
    if any(each.answer.body == now.body and each.answer.size == now.size for each in full):
        return None
    first = full[0].answer
    texts = [_read_text(each) for each in (*full, slim)]
    found = [text for text in texts if text is not None]
    if len(found) < len(texts):
        if len(full) > 1 and (full[1].answer.body, full[1].answer.size) != (first.body, first.size):
            return None  # binary data that differs at each start
        return AnswerDifference(f"{now.size} bytes, but others ({first.size}) in the full image")
    *known, asked = found
    if any(text.masked == asked.masked for text in known):
        return None
    if _is_shuffled(known[0].masked, known[-1].masked):
        known, asked = [text.sort() for text in known], asked.sort()
    place = _find_first_difference(known[0], known[-1], asked)
    if place is None:
        return None
    was, is_ = place
    return AnswerDifference("another body than in the full image", _shorten(was), _shorten(is_))


def _read_text(timed: TimedAnswer) -> _Text | None:
    """The lines of a text; None for binary data and very long texts."""
    answer = timed.answer
    if answer.size > len(answer.body) or b"\0" in answer.body:
        return None
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return None
    is_json = False
    if text[:1] in {"{", "["}:
        with suppress(ValueError):  # it may only look like JSON
            options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
            text = orjson.dumps(orjson.loads(text), option=options).decode()
            is_json = True
    lines = [line.rstrip() for line in _LINE_ENDS.split(text)]
    if len(lines) > _MAX_LINES:
        return None
    if is_json:  # the last element of a list has none
        lines = [line.removesuffix(",") for line in lines]
    return _Text([mask_volatile(line, timed.came) for line in lines], lines)


def _is_shuffled(first: list[str], second: list[str]) -> bool:
    """Whether two starts of the full image gave the same lines in another order: a set's."""
    changes = [*_list_changes(first, second)]
    removed = {line for low, high, _, _ in changes for line in first[low:high]}
    added = {line for _, _, begin, end in changes for line in second[begin:end]}
    return bool(removed & added)


def _find_first_difference(first: _Text, second: _Text, slim: _Text) -> tuple[str, str] | None:
    """The first lines in which the slim image's text differs from the full image's.

    Lines in which its two texts differ may differ, too, but no other words of them.
    """
    noisy = list(_list_changes(first.masked, second.masked))
    for low, high, begin, end in _list_changes(first.masked, slim.masked):
        if high - low != end - begin:
            if not any(_covers(noise, low, high) for noise in noisy):
                return "\n".join(first.lines[low:high]), "\n".join(slim.lines[begin:end])
            continue  # a list that is longer at one start than at the next
        for index, was in enumerate(first.masked[low:high]):
            noise = next((each for each in noisy if each[0] <= low + index < each[1]), None)
            is_ = slim.masked[begin + index]
            if noise is None or not _is_noise(noise, low + index, second.masked, was, is_):
                return first.lines[low + index], slim.lines[begin + index]
    return None


def _covers(noise: tuple[int, int, int, int], low: int, high: int) -> bool:
    """Whether lines of the first text are among those that differ in the second one."""
    return noise[0] <= low and max(high, low + 1) <= max(noise[1], noise[0] + 1)


def _is_noise(
    noise: tuple[int, int, int, int], index: int, second: list[str], was: str, is_: str
) -> bool:
    """Whether a line differs no more than in the full image's second text."""
    low, high, begin, end = noise
    return high - low != end - begin or _has_same_words(was, second[begin + index - low], is_)


def _list_changes(first: list[str], second: list[str]) -> Iterator[tuple[int, int, int, int]]:
    for kind, *place in SequenceMatcher(
        None, first, second, autojunk=len(first) > _MAX_EXACT_LINES
    ).get_opcodes():
        if kind != "equal":
            low, high, begin, end = place
            yield low, high, begin, end


def _has_same_words(was: str, other: str, is_: str) -> bool:
    """Whether a line has the words in which two others agree."""
    before, again, now = (_WORD.findall(line) for line in (was, other, is_))
    if len(before) != len(again):
        return True  # nothing is known of its parts
    triples = zip_longest(before, again, now)
    return all(one != two or one == three for one, two, three in triples)


def _find_last_line(answer: Answer) -> str:
    """What an answer says last: the error, in a traceback or a log."""
    if answer.failure is not None:
        return answer.failure
    lines = answer.body[-(1 << 14) :].decode(errors="replace").splitlines()
    is_page = "html" in answer.media_type
    return next((line for line in reversed(lines) if line.strip() and not is_page), "")


def _shorten(text: str) -> str:
    line = next((line for line in text.split("\n") if line.strip()), "").strip()
    line = escape(line)
    return line if len(line) <= _MAX_SHOWN_CHARS else f"{line[:_MAX_SHOWN_CHARS]}…"


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)
