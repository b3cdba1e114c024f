"""Runs skopeo, which reads and writes podman's store and registries."""

from __future__ import annotations

import shutil
import subprocess

from slimtrace.builder.images.reference import ImageReference, Transport
from slimtrace.builder.images.registry_failure import explain_registry_failure
from slimtrace.tracer.console import detail
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.registry_access import registry_access


def need_skopeo(failure: str, hint: str) -> None:
    """Check that skopeo is installed.

    :param failure: what cannot be done without it: ``cannot VERB OBJECT``.
    :raises SlimtraceError: it is not.
    """
    if shutil.which("skopeo") is None:
        raise SlimtraceError(f"{failure}: skopeo is not installed", hint)


_NOT_STORED = "does not resolve to an image ID"
"""What containers/storage says of a name that no image has."""


def run_skopeo(argv: list[str], failure: str) -> bytes:
    """Run ``skopeo ARGV`` and return what it prints.

    It takes https_proxy, credentials and certificates from their usual places.

    :param failure: what cannot be done when skopeo fails: ``cannot VERB OBJECT``.
    :raises SlimtraceError: it fails; its last line says why.
    """
    done = subprocess.run(
        ["skopeo", *argv], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        cause = _cause(done.stderr.decode(errors="replace"))
        prefix = Transport.REGISTRY.prefix
        names = [each.removeprefix(prefix) for each in argv if each.startswith(prefix)]
        known = explain_registry_failure(cause, names[0]) if names else None
        if known is None and _NOT_STORED in cause:
            detail(f"skopeo: {cause}")
            raise SlimtraceError(f"{failure}: there is no such image", "podman images lists them")
        if known is None:
            raise SlimtraceError(f"{failure}: {cause}")
        detail(f"skopeo: {cause}")
        raise SlimtraceError(f"{failure}: {known.cause}", known.hint)
    return done.stdout


def tls_options(reference: ImageReference, side: str = "") -> list[str]:
    """The options for ``--tls-verify``.

    :param side: ``src-`` or ``dest-`` for ``skopeo copy``.
    """
    verifies = registry_access.verifies_tls
    if verifies is None or reference.transport is not Transport.REGISTRY:
        return []
    return [f"--{side}tls-verify={str(verifies).lower()}"]


def _cause(stderr: str) -> str:
    """The message in skopeo's last line, which logrus writes as ``… msg="…"``."""
    lines = stderr.strip().splitlines() or ["skopeo failed"]
    _, marker, message = lines[-1].partition('msg="')
    if not marker:
        return lines[-1].rstrip(".")
    for escape, char in (('\\"', '"'), ("\\n", " "), ("\\t", " ")):
        message = message.replace(escape, char)
    return " ".join(message.removesuffix('"').split()).rstrip(".")
