"""The platforms that run images, and their defaults.

Sources: the documentation of each platform in 2025. Users can change some of these numbers there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from slimtrace.tracer.errors import UsageError


class TargetPlatform(StrEnum):
    KUBERNETES = "kubernetes"
    KNATIVE = "knative"
    CLOUD_RUN = "cloud-run"
    APP_ENGINE = "app-engine"
    ISTIO = "istio"
    DOCKER = "docker"
    EDGE = "edge"


class PlatformTraits(NamedTuple):
    """How a platform treats a container.

    :ivar grace: seconds from the stop signal to SIGKILL.
    :ivar startup: seconds until it must be ready; None if the platform sets no limit.
    :ivar sets_port: whether it must listen on the port in PORT.
    """

    grace: float
    startup: float | None = None
    sets_port: bool = False


PLATFORM_TRAITS = {
    # terminationGracePeriodSeconds; a livenessProbe kills after failureThreshold 3 times
    # periodSeconds 10 (kubernetes.io, "Configure Liveness, Readiness and Startup Probes").
    TargetPlatform.KUBERNETES: PlatformTraits(30, 30),
    TargetPlatform.ISTIO: PlatformTraits(30, 30),
    # Kubernetes' grace; progress-deadline 600 s (knative.dev, config-deployment).
    TargetPlatform.KNATIVE: PlatformTraits(30, 600, sets_port=True),
    # "Container runtime contract": SIGTERM, 10 s; a startup probe of 240 s.
    TargetPlatform.CLOUD_RUN: PlatformTraits(10, 240, sets_port=True),
    # Flexible environment: 30 s after SIGTERM; readiness_check.app_start_timeout_sec 300.
    TargetPlatform.APP_ENGINE: PlatformTraits(30, 300, sets_port=True),
    # docker stop(1): --time 10.
    TargetPlatform.DOCKER: PlatformTraits(10),
    TargetPlatform.EDGE: PlatformTraits(10),
}


def parse_platforms(names: list[str]) -> tuple[TargetPlatform, ...]:
    """The platforms with these names, each once; docker if there are none.

    :raises UsageError: one is unknown.
    """
    for name in names:
        if name not in {*TargetPlatform}:
            raise UsageError(
                f"cannot check for the platform {name}: choose {', '.join(TargetPlatform)}",
            )
    return tuple(dict.fromkeys(map(TargetPlatform, names))) or (TargetPlatform.DOCKER,)
