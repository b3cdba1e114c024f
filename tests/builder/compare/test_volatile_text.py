"""What changes from one start of an app to the next, and what only looks like it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from slimtrace.builder.compare.volatile_text import mask_volatile

NOW = datetime.now(UTC).replace(microsecond=0)
TOKYO = NOW + timedelta(hours=9)
EPOCH = int(NOW.timestamp())

MASKED = [
    (f"at {NOW.isoformat()}.", "at <time +0 min>."),
    (NOW.strftime("%Y-%m-%d %H:%M:%S,123"), "<time +0 min>"),
    (NOW.strftime("%Y-%m-%dT%H:%MZ"), "<time +0 min>"),
    (TOKYO.strftime("now %Y-%m-%d %H:%M:%S"), "now <time +540 min>"),
    (TOKYO.strftime("now %Y-%m-%d %H:%M:%S+09:00"), "now <time +0 min>"),
    (NOW.strftime("%a, %d %b %Y %H:%M:%S GMT"), "<time +0 min>"),
    (NOW.strftime("%a %b %e %H:%M:%S UTC %Y"), "<time +0 min>"),
    (NOW.strftime("%a %b %e %H:%M:%S %Y"), "<time +0 min>"),
    (NOW.strftime("[%d/%b/%Y:%H:%M:%S +0000]"), "[<time +0 min>]"),
    (f'"at": {EPOCH + 3600}', '"at": <time +60 min>'),
    (f"{EPOCH}123 {EPOCH}.5", "<time +0 min> <time +0 min>"),
    ("9f1c1a52-1b9e-4d05-8a69-3c2f6d8e7a10", "<id>"),
    ("<object at 0x7f3a5c0d1e20>", "<object at <address>>"),
    ("etag d41d8cd98f00b204e9800998ecf8427e", "etag <hex>"),
    ("csrf=IjY1ZmQxYzBhZmU4NDVkYjQ0.ZzQ1Nw", "<token>"),
    ("took 12 ms, 0.5s, 3 seconds", "took <duration>, <duration>, <duration>"),
]
KEPT = [
    "status 500, version 12.4.1, 7 of 9",
    "the 2024 report of 2024-07-01",
    "a number 1234567890123456789 and 0123456789",  # no time within a year
    "/static/main.css?v=3 and a_name_in_snake_case_that_is_long",
    "ConfigurationErrorOfTheApplication",
    "99/Foo/2024:99:99:99 +0000",
]


@pytest.mark.parametrize(("text", "masked"), MASKED, ids=[masked for _, masked in MASKED])
def test_what_changes_is_masked(text: str, masked: str) -> None:
    later = NOW + timedelta(seconds=40)
    assert mask_volatile(text, later) == masked
    assert mask_volatile(text, NOW - timedelta(seconds=40)) == masked


@pytest.mark.parametrize("text", KEPT)
def test_what_stays_is_not_masked(text: str) -> None:
    assert mask_volatile(text, NOW) == text


def test_a_date_that_is_none_stays() -> None:
    text = "2024-99-99 10:00:00 and Mon, 99 Jan 2024 10:00:00 GMT"
    assert mask_volatile(text, NOW) == text
