"""What is followed, how far, and within which limits."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING

from slimtrace.tracer.drive.crawl import crawler as module
from slimtrace.tracer.drive.crawl.crawler import Crawler
from slimtrace.tracer.drive.http import ServerAnswer
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

PAGES = {
    "/": ("text/html", "<link rel=stylesheet href=/s/a.css><a href=one>1</a><a href=/logout>x</a>"),
    "/one": ("text/html", "<script src=/s/a.js></script><a href=/two>2</a>"),
    "/two": ("text/html", "<img src=two.png>"),
    "/s/a.css": ("text/css", "@import 'b.css'; a { b: url(https://cdn.test/x.png) }"),
    "/s/b.css": ("text/css", "a { b: url(c.png) }"),
    "/s/a.js": ("text/javascript; charset=utf-8", "import './m.js'; fetch('data.json')"),
}
NEEDED = ["/s/a.css", "/s/b.css", "/s/c.png"]


def _answer(target: str, pages: Mapping[str, tuple[str, str]] = PAGES) -> ServerAnswer:
    headers = Message()
    kind, body = pages.get(target, ("", ""))
    if kind:
        headers["Content-Type"] = kind
    return ServerAnswer(200 if kind else 404, "HTTP/1.1", headers, body.encode())


def _crawl(
    depth: int | None, pages: Mapping[str, tuple[str, str]] = PAGES, start: str = "/"
) -> tuple[list[str], Crawler]:
    crawler = Crawler(depth, "127.0.0.1:80")
    first = HttpRequest(target=start)
    crawler.note_request(first)
    crawler.add_answer(first, _answer(start, pages))
    asked = []
    for request, link in crawler.follow():
        asked.append(request.target)
        crawler.add_answer(request, _answer(request.target, pages), link)
    return asked, crawler


def test_depth_counts_pages_alone() -> None:
    assert _crawl(None)[0] == []
    assert _crawl(0)[0] == NEEDED
    assert {*_crawl(1)[0]} == {*NEEDED, "/one", "/s/a.js", "/s/m.js", "/data.json"}
    assert {*_crawl(2)[0]} - {*_crawl(1)[0]} == {"/two", "/two.png"}


def test_what_a_page_needs_and_nothing_asked_for() -> None:
    assert _crawl(None)[1].unrequested == ("/s/a.css",)
    assert _crawl(0)[1].unrequested == ()


def test_hosts() -> None:
    names = ("http://localhost:80/a", "//127.0.0.1:80/b", "http://127.0.0.1:81/c", "//cdn.test/d")
    more = ("mailto:x@y", "data:text/plain,x", "http://[bad", "javascript:void(0)", "e f?g=h#i", "")
    body = "".join(f'<img src="{name}">' for name in (*names, *more))
    assert _crawl(0, {"/": ("text/html", body)})[0] == ["/a", "/b", "/e f?g=h"]


def test_a_redirect_is_followed() -> None:
    crawler = Crawler(0, "127.0.0.1:80")
    headers = Message()
    headers["Location"] = "/login?next=/"
    crawler.add_answer(HttpRequest("POST", "/"), ServerAnswer(303, "HTTP/1.1", headers, b""))
    assert [request.shown for request, _ in crawler.follow()] == ["GET /login?next=/"]


def test_an_encoding_that_there_is_not() -> None:
    assert _crawl(0, {"/": ("text/html; charset=nonsense", "<img src=/a>")})[0] == ["/a"]


def test_queries_of_one_path_are_limited() -> None:
    body = "".join(f'<a href="/day?d={number}">' for number in range(50))
    assert len(_crawl(1, {"/": ("text/html", body)})[0]) == 10


def test_the_number_of_requests_is_limited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MAX_REQUESTS", 3)
    assert _crawl(2)[0] == ["/s/a.css", "/one", "/s/b.css"]
    assert "--crawl ends after 3 requests: 3 more are named" in capsys.readouterr().err


def test_the_time_is_limited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", -1.0)
    assert _crawl(2)[0] == []
    assert "--crawl ends after -1 s: 2 more are named" in capsys.readouterr().err
