"""Runs skopeo, which reads and writes podman's store and registries."""

from __future__ import annotations

import shutil
import subprocess

from slimtrace.builder.images.reference import Transport
from slimtrace.tracer.errors import SlimtraceError


def need_skopeo(failure: str, hint: str) -> None:
    """Check that skopeo is installed.

    :param failure: what cannot be done without it: ``cannot VERB OBJECT``.
    :raises SlimtraceError: it is not.
    """
    if shutil.which("skopeo") is None:
        raise SlimtraceError(f"{failure}: skopeo is not installed", hint)


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
        uses_registry = any(each.startswith(Transport.REGISTRY.prefix) for each in argv)
        hint = "log in with: skopeo login REGISTRY" if uses_registry else None
        raise SlimtraceError(f"{failure}: {_cause(done.stderr.decode(errors='replace'))}", hint)
    return done.stdout


def _cause(stderr: str) -> str:
    """The message in skopeo's last line, which logrus writes as ``… msg="…"``."""
    lines = stderr.strip().splitlines() or ["skopeo failed"]
    _, marker, message = lines[-1].partition('msg="')
    if not marker:
        return lines[-1].rstrip(".")
    for escape, char in (('\\"', '"'), ("\\n", " "), ("\\t", " ")):
        message = message.replace(escape, char)
    return " ".join(message.removesuffix('"').split()).rstrip(".")
