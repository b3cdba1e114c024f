"""Reads ``.http`` files, which the REST clients of VS Code and JetBrains send.

Requests are separated by lines that begin with ``###``. Scripts that handle answers are not run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.drive.requests.references import expand
from slimtrace.tracer.drive.requests.request_parts import (
    FORM_TYPE,
    METHOD,
    complete,
    decode,
    guess_type,
    parse_header,
    read_body,
    split_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.tracer.trace.http_request import HttpRequest

_VARIABLE = re.compile(r"\s*@([^\s=]+)\s*=\s*(.*?)\s*")
_NAME = re.compile(r"\s*(?:#|//)\s*@name[\s=]+(\S+)\s*")
_COMMENT = re.compile(r"\s*(?:#|//)")
_VERSION = re.compile(r"\s+HTTP/\d(?:\.\d)?\s*$")
_SCRIPT = re.compile(r"\s*[<>]\s*\{%")
_HANDLER = re.compile(r"\s*(?:>{1,2}!?|<>)\s+\S")
"""A script that handles the answer, a file to write it to, or an answer to compare it with."""
_FILE = re.compile(r"<(@\S*)?\s+(\S.*?)\s*")


class HttpFileRequest(NamedTuple):
    """A request of a ``.http`` file.

    :ivar host: the host that its URL names, with its port; None for a path.
    """

    request: HttpRequest
    host: str | None


class BadLineError(ValueError):
    """A request that cannot be read.

    :ivar number: its first line.
    """

    def __init__(self, number: int, error: ValueError) -> None:
        super().__init__(str(error))
        self.number = number


def parse_requests(text: str, folder: str) -> Iterator[HttpFileRequest]:
    """Yield the requests of a ``.http`` file.

    :param folder: where its relative paths begin.
    :raises BadLineError: a request is not valid.
    """
    lines = text.splitlines()
    variables = {
        found[1]: found[2] for line in lines if (found := _VARIABLE.fullmatch(line)) is not None
    }
    for number, block in _split(lines):
        try:
            parsed = _parse_block(block, variables, folder)
        except ValueError as error:
            raise BadLineError(number, error) from error
        if parsed is not None:
            yield parsed


def _split(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each request's first line, and its lines without scripts."""
    block: list[str] = []
    begin, is_script = 1, False
    for number, line in enumerate(lines, start=1):
        if is_script or _SCRIPT.match(line):
            is_script = "%}" not in line
        elif line.startswith("###"):
            yield begin, block
            begin, block = number + 1, []
        else:
            if begin == number and _is_before_request(line):
                begin += 1
            block.append(line)
    yield begin, block


def _is_before_request(line: str) -> bool:
    is_comment = _COMMENT.match(line) or _VARIABLE.fullmatch(line)
    return bool(is_comment) or not line.strip()


def _parse_block(
    lines: list[str], variables: Mapping[str, str], folder: str
) -> HttpFileRequest | None:
    name, index = None, 0
    while index < len(lines) and _is_before_request(lines[index]):
        if found := _NAME.fullmatch(lines[index]):
            name = found[1]
        index += 1
    if index == len(lines):
        return None
    url = lines[index].strip()
    index += 1
    while index < len(lines) and re.match(r"\s+[?&/]", lines[index]):  # the query goes on
        url += lines[index].strip()
        index += 1
    headers = []
    while index < len(lines) and lines[index].strip():
        line = lines[index]
        index += 1
        if not _COMMENT.match(line) and not _HANDLER.match(line):
            headers.append(parse_header(expand(line, variables)))
    method, target, host = _parse_first_line(expand(_VERSION.sub("", url), variables))
    body, path = _read_body(lines[index:], headers, variables, folder)
    return HttpFileRequest(complete(method, target, headers, body, path=path, name=name), host)


def _parse_first_line(line: str) -> tuple[str, str, str | None]:
    method, _, url = line.partition(" ")
    if not METHOD.fullmatch(method):
        method, url = "GET", line
    return method, *split_url(url.strip().replace(" ", "%20"))


def _read_body(
    lines: list[str], headers: list[tuple[str, str]], variables: Mapping[str, str], folder: str
) -> tuple[str | None, str | None]:
    """Return the body, and the file that it is if it is one."""
    lines = [line for line in lines if not _HANDLER.match(line)]
    while lines and not lines[-1].strip():
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        return None, None
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    parts, path = [], None
    for line in lines:
        if not (found := _FILE.fullmatch(line)):
            parts.append(expand(line, variables))
            continue
        path = expand(found[2], variables)
        data = decode(read_body(path, folder))
        parts.append(data if found[1] is None else expand(data, variables))
        if found[1] is not None and len(lines) == 1 and not kind:  # its references count
            headers.append(("Content-Type", guess_type(data, path)))
            path = None
    if kind.startswith("multipart/"):
        return "\r\n".join([*parts, ""]), None
    if kind.startswith(FORM_TYPE):
        return "".join(part.strip() for part in parts), None
    return "\n".join(parts), path if len(lines) == 1 else None
