"""Detects where slimtrace runs, and suggests how to allow tracing there."""

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
"""The values of ptrace_scope with which Yama may refuse a call (Yama.rst).

With 1 a parent may still seize its child.
"""


class HostEnvironment(StrEnum):
    """Where slimtrace runs, which decides how tracing can be allowed."""

    HOST = "host"
    CONTAINER = "container"
    BUILD = "build"


def detect_environment(root: str = "/") -> HostEnvironment:
    """Detect the environment by the files and variables of container engines and builders.

    :param root: the root directory, for tests.
    """
    # podman creates the file empty; buildah (also used by podman build) writes its name into it.
    if b'engine="buildah' in _content(root, "run/.containerenv"):
        return HostEnvironment.BUILD
    # BuildKit sets neither a file nor a variable, only the host name.
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
    """Read Yama's ptrace_scope; None if the kernel has no Yama."""
    return _content(root, PTRACE_SCOPE.lstrip("/")).decode("ascii", "replace").strip() or None


def suggest_permission(call: Refused, where: HostEnvironment, scope: str | None) -> str:
    """Return the user's next step after the kernel refused a call that tracing needs.

    :param call: the call that was refused.
    :param scope: Yama's ptrace_scope, which containers share with their host.
    """
    if call != "seccomp" and scope == "3":
        return f"{call} is switched off until the next boot: {PTRACE_SCOPE} is 3"
    by_yama = scope in _YAMA_RESTRICTS[call]
    if where is HostEnvironment.HOST and by_yama:
        lower = "0" if scope == "1" else "1"
        return f"allow {call}: set {PTRACE_SCOPE} to {lower} (it is {scope}), or trace as root"
    if where is HostEnvironment.HOST:
        other = f" ({PTRACE_SCOPE} does not: it is {scope})" if scope and call != "seccomp" else ""
        return (
            f"allow {call}: a seccomp filter or a security module refuses it{other}; "
            "start slimtrace outside the sandbox or service that set it up"
        )
    profile = f"--security-opt seccomp=PROFILE with a profile that allows {call}"
    if call == "seccomp":
        flags = profile
    elif by_yama:
        flags = f"--cap-add SYS_PTRACE and trace as root there ({PTRACE_SCOPE} is {scope})"
    else:
        flags = f"--cap-add SYS_PTRACE, or {profile}"
    if where is HostEnvironment.CONTAINER:
        return f"allow {call}: start the container with {flags}"
    return (
        f"allow {call}: build by podman or buildah with {flags}; "
        "with docker buildx, RUN --security=insecure"
    )


def suggest_namespaces(where: HostEnvironment | None = None) -> str:
    """Return how to allow namespaces and mounts, which the sandbox of an image needs.

    :param where: None for where we are.
    """
    match where or detect_environment():
        case HostEnvironment.BUILD:
            return (
                "build with buildah --isolation oci (or podman build --isolation oci); "
                "with docker buildx, RUN --security=insecure"
            )
        case HostEnvironment.CONTAINER:
            return (
                "start the container with --security-opt seccomp=unconfined "
                "(where AppArmor is in force, also --security-opt apparmor=unconfined), "
                "or as root with --cap-add SYS_ADMIN"
            )
        case HostEnvironment.HOST:
            return "run as root, or where users may make user namespaces"


def _content(root: str, name: str) -> bytes:
    """Return a file's bytes; empty if it cannot be read."""
    try:
        with open(os.path.join(root, name), "rb") as file:
            return file.read()
    except OSError:
        return b""
