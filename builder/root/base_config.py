"""The parts of a full image's configuration that its slim image keeps (image-spec config.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """Parts of a configuration; all empty if the full image has none, as a plain tree.

    :ivar entrypoint: what is always run; empty for none.
    :ivar user: ``USER[:GROUP]``, each a number or a name; None for root.
    :ivar volumes: paths; ``exposed_ports`` as ``8080/tcp``.
    :ivar healthcheck: docker's and podman's addition to OCI's fields; None for none.
    :ivar architecture: a GOARCH name; ``variant`` as ``v8``; None where it is not given.
    """

    entrypoint: tuple[str, ...] = ()
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    healthcheck: Mapping[str, Any] | None = None
    architecture: str | None = None
    variant: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> BaseConfig:
        """Read the whole document. Values of a wrong type are ignored, as engines do."""
        config = _mapping(document.get("config"))
        variables = [each for each in _list(config.get("Env")) if isinstance(each, str)]
        pairs = (each.partition("=") for each in variables)
        entrypoint = [each for each in _list(config.get("Entrypoint")) if isinstance(each, str)]
        return cls(
            entrypoint=tuple(entrypoint),
            user=_text(config.get("User")),
            env={name: value for name, equals, value in pairs if name and equals},
            exposed_ports=tuple(_mapping(config.get("ExposedPorts"))),
            labels={
                name: value
                for name, value in _mapping(config.get("Labels")).items()
                if isinstance(value, str)
            },
            volumes=tuple(_mapping(config.get("Volumes"))),
            stop_signal=_text(config.get("StopSignal")),
            healthcheck=_mapping(config.get("Healthcheck")) or None,
            architecture=_text(document.get("architecture")),
            variant=_text(document.get("variant")),
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
