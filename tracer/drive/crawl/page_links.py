"""Finds what an HTML page names."""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from slimtrace.tracer.drive.crawl.app_link import AppLink
from slimtrace.tracer.drive.crawl.script_links import find_script_links
from slimtrace.tracer.drive.crawl.style_links import find_style_links

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_NEEDED = {
    "audio": ("src",),
    "embed": ("src",),
    "frame": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "data-src"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src",),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
"""Attributes with what a browser loads to show the page (HTML, section 4)."""
_PAGES = {"a": "href", "area": "href", "form": "action"}
_NEEDED_RELATIONS = frozenset(
    """
    apple-touch-icon apple-touch-icon-precomposed icon manifest mask-icon modulepreload preload
    prefetch stylesheet
    """.split()  # noqa: SIM905
)
_OTHER_RELATIONS = frozenset({"dns-prefetch", "preconnect", "pingback", "edituri", "wlwmanifest"})
"""Relations of ``link`` that name no page."""
_SCRIPT_TYPES = ("", "module", "text/javascript", "application/javascript")
_REFRESH = re.compile(r"[\d.]*\s*[;,]\s*url\s*=\s*['\"]?([^'\"]+)", re.IGNORECASE)


def find_page_links(text: str) -> tuple[list[AppLink], str | None]:
    """Return what a page names, in order, and the URL of its ``base`` if it has one."""
    page = _Page()
    with suppress(AssertionError):  # the parser knows no such section: what is before it counts
        page.feed(text)
        page.close()
    return page.links, page.base


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[AppLink] = []
        self.base: str | None = None
        self._text_of: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value.strip() for name, value in attrs if value is not None}
        if tag == "base" and self.base is None:
            self.base = values.get("href")
        self.links += _find_attribute_links(tag, values)
        self.links += map(AppLink, find_style_links(values.get("style", "")))
        is_script = tag == "script" and values.get("type", "").lower() in _SCRIPT_TYPES
        self._text_of = tag if is_script or tag == "style" else None

    def handle_endtag(self, _tag: str) -> None:
        self._text_of = None

    def handle_data(self, data: str) -> None:
        if self._text_of == "style":
            self.links += map(AppLink, find_style_links(data))
        elif self._text_of == "script":
            self.links += (AppLink(link.url) for link in find_script_links(data))


def _find_attribute_links(tag: str, values: Mapping[str, str]) -> Iterator[AppLink]:
    if tag == "link":
        yield from _find_relation(values)
    elif tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
        if found := _REFRESH.match(values.get("content", "")):
            yield AppLink(found[1], is_page=True)
    elif tag in _PAGES:
        is_sent = values.get("method", "get").lower() != "get"
        if (url := values.get(_PAGES[tag])) and not is_sent:
            yield AppLink(url, is_page=True)
    for name in _NEEDED.get(tag, ()):
        if values.get(name):
            yield AppLink(values[name])
    for name in ("srcset", "imagesrcset"):
        for candidate in _split_candidates(values.get(name, "")):
            yield AppLink(candidate)


def _find_relation(values: Mapping[str, str]) -> Iterator[AppLink]:
    relations = {*values.get("rel", "").lower().split()}
    if values.get("href") and not relations & _OTHER_RELATIONS:
        yield AppLink(values["href"], is_page=not relations & _NEEDED_RELATIONS)


def _split_candidates(text: str) -> Iterator[str]:
    """The URLs of ``srcset``: each ends at a space, and is followed by a width up to a comma."""
    for found in re.finditer(r"[\s,]*(\S*[^\s,])(?:\s+[^,]*)?", text):
        yield found[1]
