"""Removes secrets from images. They are recognized by their names or their contents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.edit import remove_paths
from slimtrace.builder.model import Dropped, Kind
from slimtrace.builder.selection.globs import compile_globs
from slimtrace.tracer.caution import Caution

if TYPE_CHECKING:
    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root

_KEY = "a private key"
_CLOUD = "cloud credentials"
_REGISTRY = "registry credentials"
_PASSWORDS = "passwords"
_HISTORY = "a history"

_BY_NAME: tuple[tuple[str, str], ...] = (
    *((name, _KEY) for name in ("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk")),
    *((name, _KEY) for name in ("id_ed25519", "id_ed25519_sk", "ssh_host_*_key")),
    *((name, _KEY) for name in ("*.ppk", "*.p12", "*.pfx", ".ssh/*", ".gnupg/*")),
    (".aws/credentials", _CLOUD),
    (".config/gcloud/*credentials*", _CLOUD),
    (".azure/*", _CLOUD),
    (".kube/config", "cluster credentials"),
    (".docker/config.json", _REGISTRY),
    (".dockercfg", _REGISTRY),
    ("containers/auth.json", _REGISTRY),
    (".pypirc", _REGISTRY),
    *((name, _PASSWORDS) for name in (".netrc", ".pgpass", ".my.cnf", ".git-credentials")),
    *((f"/etc/{name}", _PASSWORDS) for name in ("shadow", "shadow-", "gshadow", "gshadow-")),
    (".vault-token", "a token"),
    ("/run/secrets/*", "a container's secret"),
    *((f".{shell}_history", _HISTORY) for shell in ("bash", "zsh", "sh", "ash", "ksh", "python")),
    *((f".{tool}_history", _HISTORY) for tool in ("psql", "mysql", "sqlite", "node_repl", "irb")),
    *((name, _HISTORY) for name in (".rediscli_history", ".mongo_history", "fish_history")),
    *((name, _HISTORY) for name in (".lesshst", ".viminfo", ".zhistory", ".history")),
)
"""Patterns for the last components of a path, or for the whole path if they begin with ``/``.
A ``/*`` at the end matches everything below."""

_BY_NAME_AND_CONTENT: tuple[tuple[str, re.Pattern[bytes], str], ...] = (
    ("/.npmrc", re.compile(rb"_auth(Token)?\s*=|_password\s*="), _REGISTRY),
    ("/.aws/config", re.compile(rb"aws_secret_access_key|aws_session_token"), _CLOUD),
)


def _make_regex(pattern: str) -> str:
    """Convert a pattern to a regular expression to search for in a path."""
    if pattern.endswith("/*"):
        start, end = pattern.removesuffix("*"), ".+"
    else:
        start, end = pattern, ""
    literal = re.escape(start).replace(r"\*", "[^/]*")
    return ("^/" if pattern.startswith("/") else "/") + literal.removeprefix("/") + end + r"\Z"


_NAMES = [(re.compile(_make_regex(pattern), re.DOTALL), what) for pattern, what in _BY_NAME]
_ANY_NAME = re.compile("|".join(_make_regex(pattern) for pattern, _ in _BY_NAME), re.DOTALL)

_PEM_KEY = re.compile(rb"^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----\s*$", re.MULTILINE)
_PUTTY_KEY = b"PuTTY-User-Key-File-"
_PEM_HEADS = (b"-----BEGIN", b"Bag Attributes")
_HEAD_BYTES = 1024
_MAX_PEM_BYTES = 1 << 22
_MAX_NAMED_SECRETS = 20


def find_secrets(root: Root, selection: Selection) -> dict[str, str]:
    """Find the kept files that are secrets: their own paths, and a description of each.

    If the name of a symlink is that of a secret, its target is a secret too.

    :raises SlimtraceError: a kept file cannot be read.
    """
    secrets: dict[str, str] = {}
    for path, entry in selection.entries.items():
        if entry.kind is Kind.DIRECTORY or entry.content is not None:
            continue
        what = _match_name(path)
        if what is None and entry.kind is Kind.FILE:
            what = _match_content(root, path)
        if what is None:
            continue
        secrets[path] = what
        if entry.kind is Kind.SYMLINK:
            target = root.resolve(path).path
            if target in selection.entries and root.kind(target) is Kind.FILE:
                secrets[target] = what
    return secrets


def remove_secrets(selection: Selection, context: Context) -> Selection:
    """Remove the secrets that ``--allow-secret`` does not name, with one warning."""
    is_allowed = compile_globs(context.root, context.options.allow_secret)
    secrets = find_secrets(context.root, selection)
    dropped = [
        Dropped(path, f"it is {what}") for path, what in secrets.items() if not is_allowed(path)
    ]
    if not dropped:
        return selection
    names = ", ".join(
        f"{item.path} ({secrets[item.path]})" for item in dropped[:_MAX_NAMED_SECRETS]
    )
    more = len(dropped) - _MAX_NAMED_SECRETS
    rest = f" and {more} more" if more > 0 else ""
    fact = f"secrets are left out: {names}{rest}"
    warning = Caution(fact, "--allow-secret GLOB includes them")
    return remove_paths(selection, dropped, (warning,))


def _match_name(path: str) -> str | None:
    if _ANY_NAME.search(path):
        return next(what for regex, what in _NAMES if regex.search(path))
    return None


def _match_content(root: Root, path: str) -> str | None:
    head = root.head(path, _HEAD_BYTES).lstrip()
    for name, regex, what in _BY_NAME_AND_CONTENT:
        if path.endswith(name) and regex.search(root.head(path, _MAX_PEM_BYTES)):
            return what
    if head.startswith(_PUTTY_KEY):
        return _KEY
    # The file must be PEM from its first line: programs and documents quote such lines.
    if head.startswith(_PEM_HEADS) and _PEM_KEY.search(root.head(path, _MAX_PEM_BYTES)):
        return _KEY
    return None
