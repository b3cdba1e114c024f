"""Images for an engine's store or a registry: skopeo takes them there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Entry, Image

REGISTRY = "docker://"
TRANSPORTS = ("containers-storage:", "docker-daemon:", REGISTRY)


@dataclass(frozen=True, slots=True)
class SkopeoDestination:
    """A name in a transport of skopeo's (containers-transports(5))."""

    transport: str
    name: str

    def __str__(self) -> str:
        return f"{self.transport}{self.name}"

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def work_folder(self) -> str:
        return tempfile.gettempdir()

    def prepare(self) -> None:
        """See that skopeo is there.

        :raises SlimtraceError: it is not.
        """
        need_skopeo(
            f"cannot write {self}",
            "install skopeo, or write an archive that engines load: -o image.tar",
        )

    def write(self, image: Image, entries: Iterable[Entry]) -> None:
        """Copy the image there, with its digest as it is where the transport allows it.

        :raises SlimtraceError: skopeo is missing or fails; its last line says why.
        """
        self.prepare()
        with tempfile.TemporaryDirectory(prefix="slimtrace-") as folder:
            layout = OciLayout(f"{folder}/image", "image")
            layout.write(image, entries)
            run_skopeo(["copy", "--quiet", str(layout), str(self)], f"cannot write {self}")


def need_skopeo(failure: str, hint: str) -> None:
    """See that skopeo is there.

    :param failure: what cannot be done without it: ``cannot VERB OBJECT``.
    :raises SlimtraceError: it is not.
    """
    if shutil.which("skopeo") is None:
        raise SlimtraceError(f"{failure}: skopeo is not installed", hint)


def run_skopeo(words: list[str], failure: str) -> bytes:
    """What ``skopeo WORDS`` prints.

    It takes https_proxy, credentials and certificates from where it always does.

    :param failure: what cannot be done when it fails: ``cannot VERB OBJECT``.
    :raises SlimtraceError: it fails; its last line says why.
    """
    done = subprocess.run(
        ["skopeo", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        of_registry = any(word.startswith(REGISTRY) for word in words)
        hint = "log in with: skopeo login REGISTRY" if of_registry else None
        raise SlimtraceError(f"{failure}: {_cause(done.stderr.decode(errors='replace'))}", hint)
    return done.stdout


def _cause(stderr: str) -> str:
    """The message of skopeo's last line, which logrus writes as ``… msg="…"``."""
    lines = stderr.strip().splitlines() or ["skopeo failed"]
    _, found, message = lines[-1].partition('msg="')
    if not found:
        return lines[-1].rstrip(".")
    for escape, meant in (('\\"', '"'), ("\\n", " "), ("\\t", " ")):
        message = message.replace(escape, meant)
    return " ".join(message.removesuffix('"').split()).rstrip(".")
