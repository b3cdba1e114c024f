"""Follows what the answers of an app name, within limits."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

import orjson

from slimtrace.tracer.console import say
from slimtrace.tracer.drive.crawl.app_link import AppLink
from slimtrace.tracer.drive.requests.request_parts import is_loopback
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.tracer.drive.http import ServerAnswer

MAX_REQUESTS = 500
MAX_SECONDS = 60.0
_MAX_QUERIES = 10
"""Requests of one path that differ in the query alone: a calendar has one for each day."""
_MAX_UNREQUESTED = 100
_ENDS_SESSION = re.compile(r"(?:log|sign)[-_]?(?:out|off)\b", re.IGNORECASE)
"""Links that would end the session of the requests after them."""
_PAGE_TYPES = ("text/html", "application/xhtml+xml", "image/svg+xml")
_ORIGIN = "http://app.invalid"
"""Stands for the app: what is relative, and what names its own host, comes back to it."""


class _Followed(NamedTuple):
    """A link to follow.

    :ivar depth: how many links to pages led to it.
    :ivar page: the page on which it, or what names it, is.
    """

    target: str
    depth: int
    page: str


@dataclass(slots=True)
class Crawler:
    """What to request after the requests of one drive.

    :ivar depth: how many links from a requested page are followed; None for none, also not to what
        a page needs.
    :ivar host: the app's host and port, as in URLs.
    """

    depth: int | None
    host: str = ""
    _known: set[str] = field(default_factory=set)
    _queries: Counter[str] = field(default_factory=Counter)
    _queue: deque[_Followed] = field(default_factory=deque)
    _needed: dict[str, None] = field(default_factory=dict)
    _count: int = 0
    _began: float | None = None
    _has_said: bool = False

    @property
    def unrequested(self) -> tuple[str, ...]:
        """What pages need and was not requested."""
        return tuple(each for each in self._needed if each not in self._known)[:_MAX_UNREQUESTED]

    def note_request(self, request: HttpRequest) -> None:
        """Remember that something is requested anyway."""
        if request.method == "GET":
            self._known.add(request.target)

    def add_answer(
        self, request: HttpRequest, answer: ServerAnswer, origin: _Followed | None = None
    ) -> None:
        """Take what an answer names.

        :param origin: the link that led to it; None for a request that the user named.
        """
        here = origin or _Followed(request.target, 0, request.target)
        own_page = request.target if _find_type(answer) in _PAGE_TYPES else here.page
        for link, is_of_page in find_links(answer):
            base = here.page if is_of_page else request.target
            target = self._find_target(base, link.url)
            if target is None:
                continue
            depth = here.depth + link.is_page
            if not link.is_page:
                self._needed[target] = None
            if self.depth is not None and depth <= self.depth:
                page = target if link.is_page else own_page
                self._add(_Followed(target, depth, page))

    def follow(self) -> Iterator[tuple[HttpRequest, _Followed]]:
        """Yield requests until nothing is left to follow, or a limit is met, which is said."""
        if self._queue and self._began is None:
            self._began = time.monotonic()
        while self._queue:
            limit = self._find_limit()
            if limit is not None:
                if not self._has_said:
                    say(f"--crawl ends after {limit}: {len(self._queue)} more are named")
                self._has_said = True
                self._queue.clear()
                return
            followed = self._queue.popleft()
            self._count += 1
            yield HttpRequest(target=followed.target, is_optional=True), followed

    def _find_limit(self) -> str | None:
        if self._count >= MAX_REQUESTS:
            return f"{MAX_REQUESTS} requests"
        if self._began is not None and time.monotonic() - self._began > MAX_SECONDS:
            return f"{MAX_SECONDS:g} s"
        return None

    def _add(self, followed: _Followed) -> None:
        path = followed.target.partition("?")[0]
        if followed.target in self._known or _ENDS_SESSION.search(path):
            return
        self._known.add(followed.target)
        self._queries[path] += 1
        if self._queries[path] <= _MAX_QUERIES:
            self._queue.append(followed)

    def _find_target(self, base: str, url: str) -> str | None:
        """The path, with the query, of a URL on the app's host; None for others."""
        try:
            parts = urlsplit(urljoin(_ORIGIN + base, url.strip()))
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or not self._is_own(parts.netloc):
            return None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return None if any(char in target for char in "{}\r\n\0") else target

    def _is_own(self, host: str) -> bool:
        """Whether a host with its port is the app's, by whatever name of this machine."""
        if host in (self.host, urlsplit(_ORIGIN).netloc):
            return True
        is_same_port = host.rpartition(":")[2] == self.host.rpartition(":")[2]
        return is_same_port and is_loopback(host) and is_loopback(self.host)


def find_links(answer: ServerAnswer) -> Iterator[tuple[AppLink, bool]]:
    """Yield what an answer names, and whether that is relative to the page instead of to itself."""
    if location := answer.headers.get("Location"):
        yield AppLink(location), False
    if not answer.body:
        return
    from slimtrace.tracer.drive.crawl.page_links import find_page_links  # noqa: PLC0415
    from slimtrace.tracer.drive.crawl.script_links import find_script_links  # noqa: PLC0415
    from slimtrace.tracer.drive.crawl.style_links import find_style_links  # noqa: PLC0415 -- many drives ask for no page

    kind, text = _find_type(answer), _decode(answer)
    if kind in _PAGE_TYPES:
        links, base = find_page_links(text)
        yield from ((link._replace(url=urljoin(base or "", link.url)), False) for link in links)
    elif kind == "text/css":
        yield from ((AppLink(url), False) for url in find_style_links(text))
    elif kind.endswith(("/javascript", "/x-javascript", "/ecmascript")):
        yield from ((AppLink(each.url), not each.is_module) for each in find_script_links(text))
    elif kind == "application/manifest+json":
        yield from ((AppLink(url), False) for url in _find_manifest_links(text))


def _find_type(answer: ServerAnswer) -> str:
    """The media type that an answer names; "" for none."""
    return answer.headers.get_content_type() if answer.headers.get("Content-Type") else ""


def _decode(answer: ServerAnswer) -> str:
    try:
        return answer.body.decode(answer.headers.get_content_charset("utf-8"), "replace")
    except LookupError:  # there is no such encoding
        return answer.body.decode(errors="replace")


def _find_manifest_links(text: str) -> Iterator[str]:
    """The images of a web app's manifest."""
    try:
        manifest = orjson.loads(text)
        for key in ("icons", "screenshots"):
            yield from (str(each["src"]) for each in manifest.get(key, ()))
    except (ValueError, LookupError, TypeError, AttributeError):
        return
