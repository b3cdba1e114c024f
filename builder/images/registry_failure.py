"""Says why a registry did not do what was asked of it, and what to do then."""

from __future__ import annotations

import re
from typing import NamedTuple

from slimtrace.builder.images.reference import canonical_name


class RegistryFailure(NamedTuple):
    """A cause, as the second half of a message, and the next step."""

    cause: str
    hint: str | None


class _Kind(NamedTuple):
    """One kind of failure.

    :ivar pattern: what skopeo, Python or a registry says of it.
    :ivar cause: with {host}.
    :ivar hint: with {host} and {name}.
    """

    pattern: str
    cause: str
    hint: str


_LOGIN = "log in with: skopeo login {host}; or name the file with the login: --authfile FILE"
_KINDS = (
    _Kind(
        r"no such host|server misbehaving|name resolution|Name or service not known"
        r"|nodename nor servname|No address associated|lookup \S+.*i/o timeout",
        "{host}: there is no such host",
        "check the name and the network; a name without a host is docker.io's",
    ),
    _Kind(
        r"[Cc]onnection refused",
        "{host}: connection refused",
        "check that the registry runs, and its port",
    ),
    _Kind(
        r"HTTP response to HTTPS client|WRONG_VERSION_NUMBER|wrong version number"
        r"|record layer failure|RECORD_LAYER_FAILURE",
        "{host} answers without TLS",
        "if you trust the network: --tls-verify=false",
    ),
    _Kind(
        r"x509:|CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "the certificate of {host} cannot be verified",
        "add its authority as /etc/containers/certs.d/{host}/ca.crt, or use --tls-verify=false",
    ),
    _Kind(r"\btls:|\bSSL\b|\[SSL", "{host} refuses TLS", "see --tls-verify and certs.d"),
    _Kind(
        r"toomanyrequests|Too Many Requests|\b429\b",
        "{host} allows no more requests for now",
        "log in with: skopeo login {host}; or wait",
    ),
    _Kind(
        r"incorrect username or password|invalid username/password",
        "{host} refuses the login",
        _LOGIN,
    ),
    _Kind(
        r"unauthorized|authentication required|no basic auth credentials|\b401\b",
        "{host} wants a login",
        _LOGIN,
    ),
    _Kind(
        r"denied|[Ff]orbidden|\b403\b|insufficient_scope",
        "{host} does not allow it with this login, or has no {name}",
        _LOGIN,
    ),
    _Kind(
        r"manifest unknown|name unknown|not known to registry|repository .* not found|\b404\b"
        r"|reading manifest .* not found",
        "{host} has no {name}",
        "list what it has: skopeo list-tags docker://{repository}",
    ),
    _Kind(
        r"i/o timeout|deadline exceeded|timed out|Timeout",
        "{host} does not answer",
        "check the network and https_proxy, and try again",
    ),
)


def explain_registry_failure(text: str, name: str) -> RegistryFailure | None:
    """Find the kind of a failure; None where nobody knows it.

    :param text: what skopeo, Python or the registry says.
    :param name: of the image, without the transport.
    """
    whole = canonical_name(name)
    host, _, path = whole.partition("/")
    repository = re.sub(r"(:[^/:]*)?(@.*)?$", "", whole)
    for kind in _KINDS:
        if re.search(kind.pattern, text):
            values = {"host": host, "name": path, "repository": repository}
            return RegistryFailure(kind.cause.format(**values), kind.hint.format(**values))
    return None
