"""A registry client for what skopeo cannot do (OCI distribution-spec 1.1).

TLS settings and logins are skopeo's (containers-registries.conf(5), containers-auth.json(5)).
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPSHandler, Request, build_opener

import orjson

from slimtrace.builder.images.documents import compute_digest
from slimtrace.builder.images.reference import canonical_name
from slimtrace.builder.images.registry_failure import explain_registry_failure
from slimtrace.builder.images.write.registry_auth import (
    find_login,
    is_insecure,
    is_remapped,
    load_certificates,
)
from slimtrace.tracer.console import detail
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

_TIMEOUT_SECONDS = 60
_MAX_ANSWER_BYTES = 1 << 24  # manifests are limited to 4 MiB
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_DOCKER = {"docker.io": "registry-1.docker.io"}


class RegistryResponse(NamedTuple):
    """An answer of the registry; the names of headers ignore case."""

    status: int
    headers: Message
    body: bytes


class Repository:
    """One repository of a registry.

    :param name: ``[HOST/]NAME`` as for docker, without a tag.
    :param failure: what cannot be done if a request fails: ``cannot VERB OBJECT``.
    """

    def __init__(self, name: str, failure: str) -> None:
        self._whole = canonical_name(name)
        self._host, _, self._name = self._whole.partition("/")
        self._failure = failure
        self._insecure = is_insecure(self._whole)
        context = ssl.create_default_context()
        load_certificates(context, self._host)
        if self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._opener = build_opener(HTTPSHandler(context=context))
        self._top = f"https://{_DOCKER.get(self._host, self._host)}"
        self._authorization: str | None = None

    def check_push(self) -> None:
        """Check that the registry takes images of this name: begin an upload, and drop it.

        :raises SlimtraceError: it does not.
        """
        if is_remapped(self._whole):
            return  # skopeo pushes to another place
        begun = self._request("POST", "blobs/uploads/", data=b"", expected={202})
        place = begun.headers.get("Location", "")
        if place:
            self._request("DELETE", place)

    def put_blob(self, data: bytes) -> None:
        """Upload a blob, unless the registry has it.

        :raises SlimtraceError: the registry refuses it.
        """
        name = compute_digest(data)
        if self._request("HEAD", f"blobs/{name}").status == 200:
            return
        begun = self._request("POST", "blobs/uploads/", data=b"", expected={202})
        place = begun.headers.get("Location", "")
        joint = "&" if urlsplit(place).query else "?"
        kind = {"Content-Type": "application/octet-stream"}
        self._request("PUT", f"{place}{joint}{urlencode({'digest': name})}", kind, data, {201})

    def put_manifest(self, reference: str, kind: str, data: bytes) -> Message:
        """Upload a manifest; return the headers of the answer.

        :param reference: a tag, or the manifest's digest.
        :raises SlimtraceError: the registry refuses it.
        """
        headers = {"Content-Type": kind}
        return self._request("PUT", f"manifests/{reference}", headers, data, {201}).headers

    def get_manifest(self, reference: str, kind: str) -> bytes | None:
        """Download a manifest; None if it does not exist.

        :raises SlimtraceError: the registry gives another answer.
        """
        found = self._request("GET", f"manifests/{reference}", {"Accept": kind}, None, {200, 404})
        return found.body if found.status == 200 else None

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        expected: set[int] | None = None,
    ) -> RegistryResponse:
        # A Location from the registry is a whole path or URL.
        is_location = path.startswith(("/", "https://", "http://"))
        place = path if is_location else f"/v2/{self._name}/{path}"
        answer = self._send_with_fallback(method, place, headers or {}, data)
        if answer.status == 401:
            self._log_in(answer.headers.get("WWW-Authenticate", ""))
            answer = self._send_with_fallback(method, place, headers or {}, data)
        if expected and answer.status not in expected:
            raise self._explain(f"{self._host} answered {_describe_answer(answer)}")
        return answer

    def _send_with_fallback(
        self, method: str, place: str, headers: Mapping[str, str], data: bytes | None
    ) -> RegistryResponse:
        try:
            return self._send(method, urljoin(self._top, place), headers, data)
        except (OSError, http.client.HTTPException) as error:
            if self._insecure and self._top.startswith("https:"):
                self._top = f"http:{self._top.removeprefix('https:')}"
                return self._send_with_fallback(method, place, headers, data)
            raise self._explain(f"{self._host}: {_cause(error)}") from error

    def _explain(self, text: str) -> SlimtraceError:
        known = explain_registry_failure(text, self._whole)
        if known is None:
            return SlimtraceError(f"{self._failure}: {text}")
        detail(text)
        return SlimtraceError(f"{self._failure}: {known.cause}", known.hint)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | None
    ) -> RegistryResponse:
        request = Request(url, data, dict(headers), method=method)  # noqa: S310 -- see _top
        if self._authorization and url.startswith(f"{self._top}/"):
            # Not sent on to redirects: blob stores refuse it, and it must not leak to them.
            request.add_unredirected_header("Authorization", self._authorization)
        return self._answer(request)

    def _answer(self, request: Request) -> RegistryResponse:
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as found:
                return RegistryResponse(found.status, found.headers, found.read(_MAX_ANSWER_BYTES))
        except HTTPError as error:
            with error:
                return RegistryResponse(error.code, error.headers, error.read(_MAX_ANSWER_BYTES))

    def _log_in(self, challenge: str) -> None:
        """Answer a challenge (RFC 9110, 11.6.1; distribution's token authentication)."""
        scheme, _, rest = challenge.partition(" ")
        saved = find_login(self._whole)
        basic = None
        if saved is not None:
            basic = f"Basic {base64.b64encode(saved.encode()).decode()}"
        if scheme.lower() != "bearer":
            self._authorization = basic
            return
        parameters = dict(_PARAMETER.findall(rest))
        realm = parameters.pop("realm", "")
        if not realm.startswith("https://") and not (
            self._insecure and realm.startswith("http://")
        ):
            raise SlimtraceError(f"{self._failure}: {self._host} asks for a login without TLS")
        query = urlencode({**parameters, "scope": f"repository:{self._name}:pull,push"})
        request = Request(f"{realm}?{query}")  # noqa: S310 -- it is http or https
        if basic is not None:
            request.add_unredirected_header("Authorization", basic)
        answer = self._answer(request)
        try:
            document = orjson.loads(answer.body)
            token = document.get("token") or document["access_token"]
        except (ValueError, KeyError, AttributeError) as error:
            raise SlimtraceError(
                f"{self._failure}: {self._host} returned no token ({_describe_answer(answer)})",
                f"log in with: skopeo login {self._host}",
            ) from error
        self._authorization = f"Bearer {token}"


def _describe_answer(answer: RegistryResponse) -> str:
    """The status with the first error's message (distribution-spec, "Error Codes")."""
    try:
        message = orjson.loads(answer.body)["errors"][0]["message"]
    except (ValueError, LookupError, TypeError):
        return str(answer.status)
    return f"{answer.status}: {message}"


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason)
