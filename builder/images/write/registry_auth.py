"""Settings of podman and skopeo for registries: logins, and which may lack TLS."""

from __future__ import annotations

import base64
import glob
import os
import ssl
import subprocess
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.console import detail
from slimtrace.tracer.registry_access import registry_access

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCKER = ("docker.io", "https://index.docker.io/v1/")
_HELPER_SECONDS = 60
_IDENTITY_TOKEN = "<token>"  # noqa: S105 -- the name that stands for one, which no password is


def find_login(name: str) -> str | None:
    """Find ``USER:PASSWORD`` for ``HOST/NAME``; None if none is saved (containers-auth.json(5)).

    A credential helper that a file names for the host counts before what is saved in the file.
    """
    for path in _auth_files():
        try:
            with open(path, "rb") as file:
                saved = orjson.loads(file.read())
            helper = _find_helper(saved, name)
            auths = saved.get("auths") or {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        if helper is not None:
            login = _ask_helper(*helper)
            if login is not None:
                return login
        for key in _keys(name):
            try:
                return base64.b64decode(auths[key]["auth"]).decode()
            except (ValueError, LookupError, TypeError):
                continue
    return None


def _find_helper(saved: dict[str, Any], name: str) -> tuple[str, str] | None:
    """The helper for an image's registry, and the key to ask it for."""
    host = name.partition("/")[0]
    key = _DOCKER[1] if host == _DOCKER[0] else host
    helpers = saved.get("credHelpers") or {}
    helper = helpers.get(key) or helpers.get(host) or saved.get("credsStore")
    return (helper, key) if isinstance(helper, str) and "/" not in helper else None


def _ask_helper(helper: str, key: str) -> str | None:
    """Ask docker-credential-HELPER (docker/docker-credential-helpers, "Development")."""
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            check=False,
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        detail(f"docker-credential-{helper} cannot be asked: {error}")
        return None
    try:
        answer = orjson.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, LookupError, TypeError):
        text = (done.stdout + done.stderr).decode(errors="replace").strip()
        detail(f"docker-credential-{helper} has no login: {text}")
        return None
    return f"{user}:{secret}" if user != _IDENTITY_TOKEN else None


def is_insecure(name: str) -> bool:
    """Whether ``HOST/NAME`` may be without TLS: --tls-verify, or containers-registries.conf(5)."""
    if registry_access.verifies_tls is not None:
        return not registry_access.verifies_tls
    entry = _find_entry(name)
    return entry is not None and entry.get("insecure") is True


def is_remapped(name: str) -> bool:
    """Whether the settings say that ``HOST/NAME`` is at another place."""
    entry = _find_entry(name)
    return entry is not None and entry.get("location", _prefix(entry)) != _prefix(entry)


def load_certificates(context: ssl.SSLContext, host: str) -> None:
    """Trust the authorities of a registry, and use our certificate (containers-certs.d(5))."""
    for top in (f"{_config_folder()}/containers", "/etc/containers", "/etc/docker"):
        folder = os.path.join(top, "certs.d", host)
        if not os.path.isdir(folder):
            continue
        for path in sorted(glob.glob(f"{glob.escape(folder)}/*")):
            stem, ending = os.path.splitext(path)
            with suppress(OSError, ssl.SSLError):  # skopeo then says what is wrong
                if ending == ".crt":
                    context.load_verify_locations(path)
                elif ending == ".cert":
                    context.load_cert_chain(path, f"{stem}.key")
        return


def _find_entry(name: str) -> dict[str, Any] | None:
    """The entry of the longest prefix, as in skopeo; drop-in files override the first one."""
    fits: list[dict[str, Any]] = []
    for path in _settings_files():
        try:
            with open(path, "rb") as file:
                listed = tomllib.load(file).get("registry")
        except (OSError, ValueError):
            continue
        fits += [each for each in listed or () if _is_below(name, _prefix(each))]
    fits.sort(key=lambda each: len(_prefix(each)))
    return fits[-1] if fits else None


def _prefix(entry: dict[str, Any]) -> str:
    return str(entry.get("prefix") or entry.get("location") or "")


def _is_below(name: str, prefix: str) -> bool:
    return bool(prefix) and f"{name}/".startswith(f"{prefix}/")


def _keys(name: str) -> Iterator[str]:
    """The most specific key first: ``host/team/app``, ``host/team``, ``host``."""
    parts = name.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])
    if parts[0] == _DOCKER[0]:
        yield _DOCKER[1]


def _auth_files() -> list[str]:
    if "REGISTRY_AUTH_FILE" in os.environ:
        return [os.environ["REGISTRY_AUTH_FILE"]]
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return [
        f"{runtime}/containers/auth.json",
        f"/run/containers/{os.getuid()}/auth.json",  # without XDG_RUNTIME_DIR
        f"{_config_folder()}/containers/auth.json",
        os.path.expanduser("~/.docker/config.json"),
    ]


def _settings_files() -> list[str]:
    """Of the settings only the first existing file counts; then come its drop-in files."""
    if "CONTAINERS_REGISTRIES_CONF" in os.environ:
        return [os.environ["CONTAINERS_REGISTRIES_CONF"]]
    own, system = f"{_config_folder()}/containers", "/etc/containers"
    settings = [f"{folder}/registries.conf" for folder in (own, system)]
    chosen = [path for path in settings if os.path.exists(path)][:1]
    folders = (f"{system}/registries.conf.d", f"{own}/registries.conf.d")
    return chosen + [
        path for folder in folders for path in sorted(glob.glob(f"{glob.escape(folder)}/*.conf"))
    ]


def _config_folder() -> str:
    return os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
