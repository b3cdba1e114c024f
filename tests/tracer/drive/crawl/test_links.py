"""What pages, style sheets and scripts name."""

from __future__ import annotations

import time

import pytest

from slimtrace.tracer.drive.crawl.page_links import find_page_links
from slimtrace.tracer.drive.crawl.script_links import find_script_links
from slimtrace.tracer.drive.crawl.style_links import find_style_links

PAGE = """
<!doctype html><base href="/b/">
<link rel="stylesheet icon" href=a.css><link rel=preconnect href=//cdn.test>
<link rel=next href=/page/2>
<script src="app.js?v=1&amp;w=2"></script>
<img src=" i.png " srcset="a.png 1x, b.png 2x,c.png 3w" style="background: url('x.png')">
<picture><source srcset="d,e.png"></picture><video poster=p.jpg></video>
<a href=next>next</a><a>none</a><form action=/find></form><form method=POST action=/make></form>
<script>fetch('/api/x')</script><script type="application/json">{"a": "fetch('/no')"}</script>
<style>@import "q.css";</style><!-- <img src=commented.png> -->
<meta http-equiv=Refresh content="3; URL='/later'"><svg><use href="s.svg#a"/></svg>
"""


def test_a_page() -> None:
    links, base = find_page_links(PAGE)
    assert base == "/b/"
    assert [link.url for link in links if not link.is_page] == [
        *("a.css", "app.js?v=1&w=2", "i.png", "a.png", "b.png", "c.png", "x.png", "d,e.png"),
        *("p.jpg", "/api/x", "q.css", "s.svg#a"),
    ]
    assert [link.url for link in links if link.is_page] == ["/page/2", "next", "/find", "/later"]


@pytest.mark.parametrize(
    "text", ["", "<", "<a href", "<img src=a", "<script>", "<![x", "&#x;", "\0"]
)
def test_a_page_that_breaks_off(text: str) -> None:
    assert find_page_links(text)[1] is None


def test_a_style_sheet() -> None:
    text = """
    @import 'a.css'; @import url(b.css) print; /* url(no.png) */
    a { src: url("c.woff2") format("woff2"), URL( d.woff ); content: "url" }
    b { background: url(), url('') ; mask: my-url(no.svg)
    """
    assert [*find_style_links(text)] == ["a.css", "b.css", "c.woff2", "d.woff"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a from './a.js'", [("./a.js", True)]),
        ("import '/b.js'; export * from '../c.js'", [("/b.js", True), ("../c.js", True)]),
        ("const m = await import(`./d.js`)", [("./d.js", True)]),
        ("import React from 'react'", []),
        ("new URL('e.png', import.meta.url)", [("e.png", True)]),
        ("new URL('e.png', base)", []),
        ("new Worker('w.js'); importScripts('x.js')", [("w.js", False), ("x.js", False)]),
        ("fetch('/f', {headers: {}})", [("/f", False)]),
        ("fetch('/f', {headers: {}, method: 'POST'})", []),
        ("fetch('/f', {'method': \"get\"})", [("/f", False)]),
        ("fetch(`/f/${id}`); fetch('/' + id)", [("/", False)]),
        ("axios.get('/g'); $.getJSON('/h'); map.get('/no')", [("/g", False), ("/h", False)]),
        ("x.open('GET', '/o'); x.open('PUT', '/no')", [("/o", False)]),
        ("// fetch('/no')\n/* import './no.js' */ var s = \"fetch('/no')\"", []),
        ("fetch('\\x2f')", []),
        ("fetch('/unfinished", []),
    ],
)
def test_a_script(text: str, expected: list[tuple[str, bool]]) -> None:
    assert [tuple(link) for link in find_script_links(text)] == expected


def test_a_large_script_is_read_in_time() -> None:
    text = "function f(a){return a+1;}var s='x',r=/[/]'/g;\n" * 100_000
    began = time.process_time()
    found = [*find_script_links(f"fetch('/first');{text}fetch('/last')")]
    assert [link.url for link in found] == ["/first"]
    assert time.process_time() - began < 60
