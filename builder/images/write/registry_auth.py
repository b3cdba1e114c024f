"""Settings of podman and skopeo for registries: logins, and which may lack TLS."""

from __future__ import annotations

import base64
import os
import tomllib
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCKER = ("docker.io", "https://index.docker.io/v1/")


def find_login(name: str) -> str | None:
    """Find ``USER:PASSWORD`` for ``HOST/NAME``; None if none is saved (containers-auth.json(5)).

    Credential helpers are not supported.
    """
    for path in _auth_files():
        try:
            with open(path, "rb") as file:
                saved = orjson.loads(file.read())["auths"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        for key in _keys(name):
            try:
                return base64.b64decode(saved[key]["auth"]).decode()
            except (ValueError, LookupError, TypeError):
                continue
    return None


def is_insecure(name: str) -> bool:
    """Whether the settings allow ``HOST/NAME`` without TLS (containers-registries.conf(5))."""
    for path in _settings_files():
        try:
            with open(path, "rb") as file:
                listed = tomllib.load(file).get("registry")
        except (OSError, ValueError):
            continue
        # As in skopeo: only the first existing file counts, and in it the longest prefix.
        fits = [each for each in listed or () if _is_below(name, _prefix(each))]
        fits.sort(key=lambda each: len(_prefix(each)))
        return bool(fits) and fits[-1].get("insecure") is True
    return False


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
    if "CONTAINERS_REGISTRIES_CONF" in os.environ:
        return [os.environ["CONTAINERS_REGISTRIES_CONF"]]
    own = f"{_config_folder()}/containers/registries.conf"
    return [own, "/etc/containers/registries.conf"]


def _config_folder() -> str:
    return os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
