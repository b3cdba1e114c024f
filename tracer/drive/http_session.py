"""Completes requests with what earlier answers gave: cookies, and parts that are referred to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from slimtrace.tracer.drive.http import OutgoingRequest
from slimtrace.tracer.drive.requests.references import (
    ANSWER_PART,
    ENVIRONMENT_PREFIX,
    expand,
    find_variable,
    list_references,
    resolve,
)
from slimtrace.tracer.drive.requests.request_parts import parse_header
from slimtrace.tracer.errors import DriverError

if TYPE_CHECKING:
    import http.cookiejar
    from collections.abc import Sequence

    from slimtrace.tracer.drive.http import Address, ServerAnswer
    from slimtrace.tracer.trace.http_request import HttpRequest

_JSON_PART = re.compile(r"\.?([\w-]+)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")


class HttpSession:
    """The requests of one drive: as in a browser, later ones have the cookies of earlier answers.

    :param headers: headers of all requests, as ``NAME: VALUE``.
    """

    def __init__(self, headers: Sequence[str]) -> None:
        expanded = [expand(each, {}) for each in headers]
        self._headers = [parse_header(each) for each in expanded]
        self._header_references = list_references(expanded)
        self._answers: dict[str, ServerAnswer] = {}
        self._cookies: http.cookiejar.CookieJar | None = None

    def prepare(self, request: HttpRequest, address: Address) -> OutgoingRequest:
        """The request as it is sent.

        :raises DriverError: it refers to something that an answer has not.
        """
        references = (*request.references, *self._header_references)

        def fill(text: str) -> str:
            return resolve(text, references, self._look_up)

        own = {name.lower() for name, _ in request.headers}
        common = [pair for pair in self._headers if pair[0].lower() not in own]
        headers = [(name, fill(value)) for name, value in (*common, *request.headers)]
        body = request.body_bytes
        if body is not None and request.references:
            body = fill(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        target = fill(request.target)
        if cookie := self._find_cookie(address, target):
            names = {name.lower() for name, _ in headers}
            headers += [] if "cookie" in names else [("Cookie", cookie)]
        return OutgoingRequest(request.method, target, headers, body)

    def take(self, request: HttpRequest, address: Address, answer: ServerAnswer) -> None:
        """Remember what later requests need of an answer."""
        if request.name is not None:
            self._answers[request.name] = answer
        if answer.headers.get("Set-Cookie") is None:
            return
        from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415 -- slow to import
        from urllib.request import Request  # noqa: PLC0415

        if self._cookies is None:
            # A service is asked without TLS here, and behind a proxy that speaks it later.
            policy = DefaultCookiePolicy(secure_protocols=("https", "http"))
            self._cookies = CookieJar(policy)
        asked = Request(address.url + request.target)  # noqa: S310 -- nothing is opened
        self._cookies.extract_cookies(_AnswerInfo(answer), asked)  # type: ignore[arg-type]

    def _find_cookie(self, address: Address, target: str) -> str | None:
        if self._cookies is None:
            return None
        from urllib.request import Request  # noqa: PLC0415 -- slow to import

        asked = Request(address.url + target)  # noqa: S310 -- nothing is opened
        self._cookies.add_cookie_header(asked)
        return asked.get_header("Cookie")

    def _look_up(self, reference: str) -> str:
        if reference.startswith(ENVIRONMENT_PREFIX):
            return find_variable(reference)
        found = ANSWER_PART.fullmatch(reference)
        answer = self._answers.get(found[1]) if found is not None else None
        value = None
        if found is not None and answer is not None:
            is_header = found[2] == "headers"
            value = answer.headers.get(found[3]) if is_header else _find_part(answer, found[3])
        if value is None:
            raise DriverError(f"cannot drive the app: no answer has {{{{{reference}}}}}")
        return value


class _AnswerInfo:
    """What a cookie jar asks of an answer."""

    def __init__(self, answer: ServerAnswer) -> None:
        self._answer = answer

    def info(self) -> object:
        return self._answer.headers


def _find_part(answer: ServerAnswer, path: str) -> str | None:
    """The part of a body at a path, as ``$.users[0].id``; ``*`` is the whole body."""
    if path == "*":
        return answer.body.decode(errors="surrogateescape")
    try:
        value = orjson.loads(answer.body)
        for name, number, quoted in _JSON_PART.findall(path.removeprefix("$")):
            value = value[int(number)] if number else value[name or quoted]
    except (ValueError, LookupError, TypeError):
        return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()
