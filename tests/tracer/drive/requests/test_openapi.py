"""Requests made from OpenAPI documents: each operation once, with values that fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slimtrace.tracer.drive.requests.openapi import make_requests
from slimtrace.tracer.drive.requests.sample_values import SampleMaker

DOCUMENT = """
openapi: 3.1.0
servers: [{url: "https://api.test/v2/"}]
components:
  schemas:
    User:
      type: object
      required: [name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, minLength: 8}
        mail: {type: string, format: email}
        boss: {$ref: "#/components/schemas/User"}
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: integer, minimum: 7}}
paths:
  /users/{id}:
    parameters: [{$ref: "#/components/parameters/Id"}]
    delete: {}
    get:
      parameters:
        - {name: fields, in: query, schema: {type: array}, example: [a, b]}
        - {name: unneeded, in: query, schema: {type: string}}
        - {name: X-Trace, in: header, required: true, schema: {enum: [all]}}
    put:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: {type: object, properties: {age: {type: integer}}}
  /users:
    get: {}
    post:
      requestBody:
        content:
          text/plain: {}
          application/json: {schema: {$ref: "#/components/schemas/User"}}
  /files:
    post:
      requestBody:
        content:
          multipart/form-data:
            schema: {type: object, properties: {file: {type: string, format: binary}}}
"""


def test_the_requests_of_a_document() -> None:
    found = {request.shown: request for request in make_requests(DOCUMENT.encode())}
    assert [*found] == [
        "GET /v2/users/7?fields=a&fields=b",
        "PUT /v2/users/7",
        "POST /v2/users",
        "GET /v2/users",
        "POST /v2/files",
        "DELETE /v2/users/7",
    ]
    assert found["GET /v2/users/7?fields=a&fields=b"].headers == (("X-Trace", "all"),)
    assert found["PUT /v2/users/7"].body == "age=1"
    body = json.loads(found["POST /v2/users"].body or "")
    assert (body["name"], body["mail"]) == ("samplexx", "user@example.com")
    assert "id" not in body
    files = found["POST /v2/files"]
    assert files.headers == (("Content-Type", "multipart/form-data; boundary=slimtrace-part"),)
    assert 'name="file"; filename="file.txt"' in (files.body or "")
    assert make_requests(DOCUMENT.encode()) == [*found.values()]


def test_version_2() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}}
    parameters = [{"name": "b", "in": "body", "schema": schema}]
    form = [{"name": "f", "in": "formData", "required": True, "type": "string"}]
    paths = {"/a": {"post": {"parameters": parameters}, "put": {"parameters": form}}}
    document = {"swagger": "2.0", "basePath": "/api", "paths": paths}
    post, put = make_requests(json.dumps(document).encode())
    assert (post.shown, post.body) == ("POST /api/a", '{"a":true}')
    assert (put.body, put.headers[0][1]) == ("f=sample", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"example": 0, "default": 3}, 0),
        ({"default": "d", "enum": ["e"]}, "d"),
        ({"enum": ["e", "f"]}, "e"),
        ({"const": 4}, 4),
        ({"examples": ["x"]}, "x"),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "number"}, 1),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "string", "maxLength": 3}, "sam"),
        ({"type": "string", "format": "date"}, "2024-01-15"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}], "properties": {"b": {"const": 2}}},
            {"a": 1, "b": 2},
        ),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, 1),
        ({"$ref": "#/nowhere"}, "sample"),
        (True, "sample"),
        ({"type": "unknown"}, "sample"),
    ],
)
def test_values(schema: Any, expected: object) -> None:
    assert SampleMaker({}).make(schema) == expected


def test_a_schema_in_itself_ends() -> None:
    document = {"a": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/a"}}}}
    assert SampleMaker(document).make({"$ref": "#/a"})["a"]["a"]["a"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{}", "it has no openapi and no paths"),
        ("- a", "it has no openapi and no paths"),
        ("openapi: 3.0.0", "it has no openapi and no paths"),
        ("openapi: 3.0.0\npaths: {}", "it has no operation"),
        ("a: [", "it is no YAML"),
        ("{", "unexpected end of data"),
        ("[" * 5000, "it is no YAML"),
    ],
    ids=range(7),
)
def test_what_is_no_document(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        make_requests(text.encode())


def test_a_document_that_grows_is_refused() -> None:
    """Each alias stands ten times for the one before."""
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    body = "paths: {/a: {post: {requestBody: {content: {application/json: {example: *a8}}}}}}"
    with pytest.raises(ValueError, match="it has an example that is too large"):
        make_requests("\n".join([*lines, "openapi: 3.0.0", body]).encode())
