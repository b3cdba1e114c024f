"""Where slimtrace runs, and what to change there where it may not trace."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.tracer.errors import Refused

PTRACE_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"

_MARKS = ("run/.containerenv", "run/systemd/container", ".dockerenv")
_VARIABLES = (b"container=", b"KUBERNETES_SERVICE_HOST=")
_YAMA_RESTRICTS: dict[str, tuple[str, ...]] = {
    "ptrace": ("2",),
    "attaching": ("1", "2"),
    "process_vm_readv": ("1", "2"),
    "seccomp": (),
}
"""The settings with which Yama may refuse a call (Yama.rst); 1 lets a parent seize its child."""


class HostEnvironment(StrEnum):
    """What surrounds slimtrace, and so who can allow it to trace."""

    HOST = "host"
    CONTAINER = "container"
    BUILD = "build"


def detect_environment(root: str = "/") -> HostEnvironment:
    """The place, by what container engines and builders leave in the file system.

    :param root: where to look, for tests.
    """
    # podman leaves the file empty, buildah (which is podman build too) names itself.
    if b'engine="buildah' in _content(root, "run/.containerenv"):
        return HostEnvironment.BUILD
    # BuildKit leaves neither a file nor a variable, only the name that it gives the host.
    if _content(root, "proc/sys/kernel/hostname").strip() == b"buildkitsandbox":
        return HostEnvironment.BUILD
    if any(os.path.lexists(os.path.join(root, mark)) for mark in _MARKS):
        return HostEnvironment.CONTAINER
    for process in ("1", "self"):
        variables = _content(root, f"proc/{process}/environ").split(b"\0")
        if any(variable.startswith(_VARIABLES) for variable in variables):
            return HostEnvironment.CONTAINER
    return HostEnvironment.HOST


def read_ptrace_scope(root: str = "/") -> str | None:
    """Yama's setting, or None where the kernel has no Yama."""
    return _content(root, PTRACE_SCOPE.lstrip("/")).decode("ascii", "replace").strip() or None


def suggest_permission(what: Refused, where: HostEnvironment, scope: str | None) -> str:
    """The next step for the user where a call that tracing needs is refused.

    :param what: the call.
    :param scope: Yama's setting, which containers share with their host.
    """
    if what != "seccomp" and scope == "3":
        return f"{what} is switched off until the next boot: {PTRACE_SCOPE} is 3"
    by_yama = scope in _YAMA_RESTRICTS[what]
    if where is HostEnvironment.HOST and by_yama:
        lower = "0" if scope == "1" else "1"
        return f"allow {what}: set {PTRACE_SCOPE} to {lower} (it is {scope}), or trace as root"
    if where is HostEnvironment.HOST:
        other = f" ({PTRACE_SCOPE} does not: it is {scope})" if scope and what != "seccomp" else ""
        return (
            f"allow {what}: a seccomp filter or a security module refuses it{other}; "
            "start slimtrace outside the sandbox or service that set it up"
        )
    profile = f"--security-opt seccomp=PROFILE with a profile that allows {what}"
    if what == "seccomp":
        flags = profile
    elif by_yama:
        flags = f"--cap-add SYS_PTRACE and trace as root there ({PTRACE_SCOPE} is {scope})"
    else:
        flags = f"--cap-add SYS_PTRACE, or {profile}"
    if where is HostEnvironment.CONTAINER:
        return f"allow {what}: start the container with {flags}"
    return (
        f"allow {what}: build by podman or buildah with {flags}; "
        "with docker buildx, RUN --security=insecure"
    )


def _content(root: str, name: str) -> bytes:
    """A file's bytes; none where it may not be read or is not there."""
    try:
        with open(os.path.join(root, name), "rb") as file:
            return file.read()
    except OSError:
        return b""
