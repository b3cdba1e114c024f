"""Makes requests from an OpenAPI document: each operation once, with its examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from slimtrace.tracer.drive.requests.request_files import read_file
from slimtrace.tracer.drive.requests.request_parts import (
    FORM_TYPE,
    JSON_TYPE,
    is_loopback,
    split_url,
)
from slimtrace.tracer.drive.requests.sample_values import SampleMaker
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_METHODS = ("post", "get", "head", "options", "put", "patch", "delete")
"""What is made is there to be got, and what is deleted is not needed any more."""
_LAST = ("delete",)
_BOUNDARY = "slimtrace-part"
_MAX_OPERATIONS = 500
_MAX_VALUES = 100_000
"""Of one example."""
_TEXT_TYPES = ("text/", "application/xml")


def find_document_path(url: str) -> str:
    """The path of a document that the app serves.

    :raises UsageError: another host serves it.
    """
    target, host = split_url(url)
    if host is not None and not is_loopback(host):
        raise UsageError(
            f"cannot use --openapi {url}: only documents of the app, at localhost, are asked for",
            "save the document, and name the file",
        )
    return target


def read_openapi_file(path: str) -> list[HttpRequest]:
    """Read a document in JSON or YAML, and make its requests.

    :raises UsageError: it cannot be read, or is no OpenAPI document.
    """
    data = read_file("--openapi", path)
    try:
        return make_requests(data)
    except ValueError as error:
        raise UsageError(
            f"cannot use --openapi {path}: {error}", "give an OpenAPI document, in JSON or YAML"
        ) from error


def make_requests(data: bytes) -> list[HttpRequest]:
    """Make the requests of a document, in an order in which they may depend on each other.

    :raises ValueError: it is no OpenAPI document.
    """
    document = _parse(data)
    paths = document.get("paths") if isinstance(document, dict) else None
    is_known = isinstance(document, dict) and ("openapi" in document or "swagger" in document)
    if not is_known or not isinstance(paths, dict):
        raise ValueError("it has no openapi and no paths")
    operations = [*_list_operations(document, paths)]
    if not operations:
        raise ValueError("it has no operation")
    operations.sort(key=lambda each: each.method.lower() in _LAST)
    return operations[:_MAX_OPERATIONS]


def _parse(data: bytes) -> Any:
    if data.lstrip()[:1] == b"{":
        return orjson.loads(data)
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 -- slow to import

    try:
        # Documents come from anywhere: the safe loader makes plain values alone.
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())[:120]}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _list_operations(
    document: Mapping[str, Any], paths: Mapping[str, Any]
) -> Iterator[HttpRequest]:
    maker = SampleMaker(document)
    prefix = _find_prefix(document)
    for path, found in paths.items():
        item = maker.resolve(found)
        if not isinstance(item, dict) or not str(path).startswith("/"):
            continue
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                yield _make_request(maker, method, prefix + str(path), item, operation)


def _find_prefix(document: Mapping[str, Any]) -> str:
    """The path of the first server; of version 2 the base path."""
    url = document.get("basePath", "")
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        url = servers[0].get("url", "")
    path = urlsplit(str(url)).path
    return path.rstrip("/") if path.startswith("/") and "{" not in path else ""


def _make_request(
    maker: SampleMaker,
    method: str,
    path: str,
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
) -> HttpRequest:
    parts = _RequestParts(path)
    for parameter in _list_parameters(maker, item, operation):
        name, place = str(parameter.get("name", "")), parameter.get("in")
        if place == "body":
            parts.set_body(JSON_TYPE, _to_json(maker.make(parameter.get("schema"))))
        elif name and (parameter.get("required") or _has_example(parameter)):
            parts.add(str(place), name, maker.make_parameter(parameter))
    if parts.form:
        parts.set_body(FORM_TYPE, urlencode(parts.form))
    if (content := _find_content(maker, operation)) is not None:
        parts.set_body(*content)
    target = parts.path + (f"?{urlencode(parts.query)}" if parts.query else "")
    clean = [(name, " ".join(value.split())) for name, value in parts.headers]
    return HttpRequest(method.upper(), target, tuple(clean), parts.body, is_optional=True)


@dataclass(slots=True)
class _RequestParts:
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    form: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None

    def add(self, place: str, name: str, value: Any) -> None:
        """Put the value of a parameter where it belongs."""
        text = _to_text(value)
        match place:
            case "path":
                self.path = self.path.replace(f"{{{name}}}", quote(text, safe=""))
            case "query":
                values = value if isinstance(value, list) else [value]
                self.query += [(name, _to_text(each)) for each in values]
            case "header":
                self.headers.append((name, text))
            case "cookie":
                self.headers.append(("Cookie", f"{name}={text}"))
            case "formData":
                self.form.append((name, text))

    def set_body(self, kind: str, body: str) -> None:
        self.headers = [pair for pair in self.headers if pair[0].lower() != "content-type"]
        self.headers.append(("Content-Type", kind))
        self.body = body


def _list_parameters(
    maker: SampleMaker, item: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Yield the parameters of a path and of its operation, which may replace those."""
    found: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for each in (*_as_list(item.get("parameters")), *_as_list(operation.get("parameters"))):
        parameter = maker.resolve(each)
        if isinstance(parameter, dict):
            found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    yield from found.values()


def _find_content(maker: SampleMaker, operation: Mapping[str, Any]) -> tuple[str, str] | None:
    """The type and the body of a request that has one: JSON where it may be."""
    body = maker.resolve(operation.get("requestBody"))
    content = body.get("content") if isinstance(body, dict) else None
    if not isinstance(content, dict) or not content:
        return None
    kinds = [str(kind) for kind in content]
    kind = next((each for each in kinds if "json" in each), kinds[0])
    value = maker.make_content(content[kind])
    if "json" in kind:
        return kind.replace("*", "json"), _to_json(value)
    if kind == FORM_TYPE:
        fields = value if isinstance(value, dict) else {}
        return kind, urlencode({name: _to_text(each) for name, each in fields.items()})
    if kind.startswith("multipart/"):
        return f"{kind.partition(';')[0]}; boundary={_BOUNDARY}", _write_parts(
            maker, content[kind], value
        )
    if kind.startswith(_TEXT_TYPES):
        return kind, _to_text(value)
    return ("application/octet-stream" if "*" in kind else kind), _to_text(value)


def _write_parts(maker: SampleMaker, media: Any, value: Any) -> str:
    """A body of several parts (RFC 7578); what is binary is a file."""
    schema = maker.resolve(media.get("schema")) if isinstance(media, dict) else None
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    lines: list[str] = []
    for name, each in value.items() if isinstance(value, dict) else ():
        about = maker.resolve(properties.get(name))
        is_file = isinstance(about, dict) and (
            about.get("format") == "binary" or "contentMediaType" in about
        )
        more = '; filename="file.txt"\r\nContent-Type: text/plain' if is_file else ""
        lines += [f"--{_BOUNDARY}", f'Content-Disposition: form-data; name="{name}"{more}', ""]
        lines.append(_to_text(each))
    return "\r\n".join([*lines, f"--{_BOUNDARY}--", ""])


def _has_example(parameter: Mapping[str, Any]) -> bool:
    return "example" in parameter or bool(parameter.get("examples"))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else _to_json(value)


def _to_json(value: Any) -> str:
    """:raises ValueError: it is too large, as aliases in YAML can make it."""
    left, count = [value], 0
    while left:
        each = left.pop()
        count += 1
        if count > _MAX_VALUES:
            raise ValueError("it has an example that is too large")
        left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
