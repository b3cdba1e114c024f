"""Root certificates and settings that a TLS library reads at its first connection."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.root.root import Root

_LIBRARY = re.compile(r".*/lib(ssl|gnutls|mbedtls|wolfssl)\.so\.[0-9.]+[a-z]?$|.*/libnss3\.so$")
_FILES = (
    "/etc/ssl/cert.pem",  # Alpine
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/usr/lib/ssl/cert.pem",  # Debian's OPENSSLDIR
    "/usr/lib/ssl/openssl.cnf",
    "/etc/pki/tls/cert.pem",  # Fedora
    "/etc/pki/tls/openssl.cnf",
    "/etc/gnutls/config",
)
_FOLDERS = (
    "/etc/ssl/certs",
    "/usr/lib/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted/pem",
)
_CERTIFICATE = re.compile(r".*(\.(pem|crt|cer)|/[0-9a-f]{8}\.[0-9]+)$")
"""A certificate file, or the hash link that openssl-rehash(1ssl) makes. Not Java's store."""


def find_certificates(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the system's certificates, if a TLS library is kept.

    The directory of private keys is never added. A key among the certificates is removed later,
    as every secret.
    """
    if not _LIBRARY.match(path):
        return
    env, root = context.environment.env, context.root
    named = env.get("SSL_CERT_FILE", "")
    folders = [*_FOLDERS, *filter(None, env.get("SSL_CERT_DIR", "").split(":"))]
    for file in (*_FILES, *([named] if named else [])):
        yield Need(file, Reason.CERTIFICATE)
    for folder in folders:
        own = root.resolve(folder)
        if own.exists and root.kind(own.path) is Kind.DIRECTORY:
            yield Need(folder, Reason.CERTIFICATE)
            paths = (f"{own.path}/{name}" for name in root.listdir(own.path))
            yield from (
                Need(each, Reason.CERTIFICATE) for each in paths if _is_certificate(root, each)
            )
    yield from _find_providers(root, os.path.dirname(path))


def _is_certificate(root: Root, path: str) -> bool:
    return bool(_CERTIFICATE.match(path)) and root.kind(root.resolve(path).path) is Kind.FILE


def _find_providers(root: Root, libraries: str) -> Iterator[Need]:
    """Find the OpenSSL modules in its configuration (config(5ssl), "Provider Configuration")."""
    folder = root.resolve(f"{libraries}/ossl-modules").path
    text = read_text(root, "/etc/ssl/openssl.cnf") + read_text(root, "/etc/pki/tls/openssl.cnf")
    for name in root.listdir(folder):
        if re.search(rf"^\s*{re.escape(name.removesuffix('.so'))}\s*=", text, re.MULTILINE):
            yield Need(f"{folder}/{name}", Reason.CERTIFICATE, load=True)


RULE = ClosureRule(
    Reason.CERTIFICATE,
    find_certificates,
    "the system's root certificates and OpenSSL's configuration, where a TLS library is kept",
)
