"""Root certificates and settings that a TLS library reads when first it connects."""

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
"""A file, or the hash link that openssl-rehash(1ssl) makes. Java's store is not among them."""


def find_certificates(context: RuleContext, path: str) -> Iterable[Need]:
    """The system's certificates, where a TLS library is kept.

    Never its folder of private keys; a key among the certificates is a secret like any other
    and refused as such.
    """
    if not _LIBRARY.match(path):
        return
    env, root = context.environment.env, context.root
    named = env.get("SSL_CERT_FILE", "")
    folders = [*_FOLDERS, *filter(None, env.get("SSL_CERT_DIR", "").split(":"))]
    for file in (*_FILES, *([named] if named else [])):
        yield Need(file, Reason.CERTIFICATE)
    for folder in folders:
        found = root.resolve(folder)
        if found.exists and root.kind(found.path) is Kind.DIRECTORY:
            yield Need(folder, Reason.CERTIFICATE)
            names = (f"{found.path}/{name}" for name in root.listdir(found.path))
            yield from (Need(name, Reason.CERTIFICATE) for name in names if _is_for(root, name))
    yield from _providers(root, os.path.dirname(path))


def _is_for(root: Root, path: str) -> bool:
    return bool(_CERTIFICATE.match(path)) and root.kind(root.resolve(path).path) is Kind.FILE


def _providers(root: Root, libraries: str) -> Iterator[Need]:
    """OpenSSL's modules that its configuration names (config(5ssl), "Provider Configuration")."""
    folder = root.resolve(f"{libraries}/ossl-modules").path
    text = read_text(root, "/etc/ssl/openssl.cnf") + read_text(root, "/etc/pki/tls/openssl.cnf")
    for name in root.listdir(folder):
        if re.search(rf"^\s*{re.escape(name.removesuffix('.so'))}\s*=", text, re.MULTILINE):
            yield Need(f"{folder}/{name}", Reason.CERTIFICATE, load=True)


RULE = ClosureRule(Reason.CERTIFICATE, find_certificates)
