"""Answers that differ, and those that differ only as much as two starts of the full image do."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime

import pytest

from slimtrace.builder.compare.answer_difference import (
    TimedAnswer,
    find_difference,
    is_unstable,
)
from slimtrace.tracer.trace.answers import Answer

NOW = datetime.now(UTC)
PAGE = "<html><p>{}</p><p>total {}</p></html>"


def answer(body: bytes | str, status: int | None = 200, media_type: str = "") -> TimedAnswer:
    data = body.encode() if isinstance(body, str) else body
    return TimedAnswer(Answer("GET /", status, 0, 0, media_type, data, len(data)), NOW)


SAME: list[tuple[list[bytes | str], bytes | str]] = [
    (["a\nb\n"], "a\nb\n"),
    ([b"\x00\x01"], b"\x00\x01"),
    # only the times and ids, of one start or two
    ([f"{NOW.isoformat()} {uuid.uuid4()}"], f"{NOW.isoformat()} {uuid.uuid4()}"),
    (['{"a": 1, "b": [2, 3]}'], '{"b":[2,3],"a":1}'),
    # what differs between the starts of the full image
    ([PAGE.format("visit 7", 3), PAGE.format("visit 9", 3)], PAGE.format("visit 4", 3)),
    (["hits: 1\nname: x\n", "hits: 22\nname: x\n"], "hits: 333\nname: x\n"),
    (["a\nb\nc\n", "c\na\nb\n"], "b\nc\na\n"),
    (['{"set": ["p", "q", "r"], "n": 1}', '{"set": ["r", "p", "q"], "n": 2}'],
     '{"set": ["q", "r", "p"], "n": 3}'),
    (["x 1\n", "x 1\nx 2\n"], "x 1\nx 2\nx 3\n"),
    ([b"%PDF\x00\x01", b"%PDF\x00\x02"], b"%PDF\x00\x03"),
]  # fmt: skip
DIFFERENT: list[tuple[list[bytes | str], bytes | str, tuple[str, str]]] = [
    (["a\nb\n"], "a\nc\n", ("b", "c")),
    (["a\nb\n", "a\nb\n"], "a\n", ("b", "")),
    ([b"\x00\x01"], b"\x00\x02", ("", "")),
    (['{"a": 1, "b": 2}'], '{"a": 1, "b": 3}', ('"b": 2', '"b": 3')),
    # beside what differs between the starts of the full image
    ([PAGE.format("visit 7", 3), PAGE.format("visit 9", 3)], PAGE.format("visit 4", 5),
     ("<p>total 3</p>", "<p>total 5</p>")),
    (["hits: 1, Tokyo", "hits: 2, Tokyo"], "hits: 3, UTC", ("hits: 1, Tokyo", "hits: 3, UTC")),
    (["a\nb\nc\n", "c\na\nb\n"], "b\nc\nd\n", ("a", "")),
    (["a\nb\n", "a\nx\nb\n"], "a\nc\n", ("b", "c")),
    ([f"{NOW:%Y-%m-%d} 01:00:00+09:00"], f"{NOW:%Y-%m-%d} 01:00:00+00:00",
     (f"{NOW:%Y-%m-%d} 01:00:00+09:00", f"{NOW:%Y-%m-%d} 01:00:00+00:00")),
]  # fmt: skip


@pytest.mark.parametrize(("full", "slim"), SAME, ids=range(len(SAME)))
def test_answers_that_are_the_same(full: list[bytes | str], slim: bytes | str) -> None:
    assert find_difference([*map(answer, full)], answer(slim)) is None


@pytest.mark.parametrize(("full", "slim", "lines"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_answers_that_differ(
    full: list[bytes | str], slim: bytes | str, lines: tuple[str, str]
) -> None:
    found = find_difference([*map(answer, full)], answer(slim))
    assert found is not None
    assert (found.full, found.slim) == lines


def test_a_status_and_a_type_that_differ() -> None:
    found = find_difference([answer("a", 200)], answer("Traceback:\nKeyError: 'x'\n", 1))
    assert found == ("status 1, but status 200 in the full image", "", "KeyError: 'x'")
    found = find_difference([answer("a", 200)], answer("a", None))
    assert found is not None
    assert found.fact == "no answer, but status 200 in the full image"
    found = find_difference([answer("a", media_type="a/b")], answer("a", media_type="c/d"))
    assert found is not None
    assert found.fact == "type 'c/d', but 'a/b' in the full image"


def test_a_full_image_that_does_not_agree_with_itself() -> None:
    full = [answer("a", 200), answer("b", 500)]
    assert is_unstable(full)
    assert find_difference(full, answer("c", 404)) is None
    assert not is_unstable(full[:1])


def test_long_texts_take_little_time() -> None:
    chosen = random.Random(7)  # noqa: S311 -- no secret
    lines = [chosen.choice(("a", "b", str(number))) for number in range(15_000)]
    again = [*lines[:7000], "another", *lines[7001:]]
    assert find_difference([answer("\n".join(lines))], answer("\n".join(again))) is not None
    huge = "\n".join(["x"] * 30_000)
    found = find_difference([answer(huge)], answer(f"{huge}y"))
    assert found is not None
    assert found.fact == "60000 bytes, but others (59999) in the full image"
