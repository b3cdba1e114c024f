"""The command that runs a new image, whatever it was written to."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.config.dockerfile import render_dockerfile
from slimtrace.builder.images.default_name import name_of_path
from slimtrace.builder.images.reference import Transport, parse_reference
from slimtrace.builder.images.skopeo import tls_options

if TYPE_CHECKING:
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import Image

_PODMAN, _DOCKER = "podman", "docker"
_CHANGES = ("ENV ", "USER ", "WORKDIR ", "ENTRYPOINT ", "CMD ")


def choose_engine(reference: ImageReference, source: str | None) -> str:
    """The engine of the new image's store or the full one's; else the one that is installed."""
    transports = {reference.transport}
    if source is not None:
        transports.add(parse_reference(source).transport)
    if Transport.DOCKER_DAEMON in transports and Transport.CONTAINERS_STORAGE not in transports:
        return _DOCKER
    if Transport.CONTAINERS_STORAGE in transports:
        return _PODMAN
    return _DOCKER if shutil.which(_PODMAN) is None and shutil.which(_DOCKER) else _PODMAN


def make_run_command(
    reference: ImageReference, image: Image, engine: str, options: tuple[str, ...] = ()
) -> str:
    """Make a line of shell that runs the image with its ports published.

    :param reference: where it was written, with its name.
    :param options: more options of ``run``.
    """
    config: dict[str, Any] = orjson.loads(image.config)["config"]
    ports = [option for port in config.get("ExposedPorts", {}) for option in _publish(port)]
    run = [engine, "run", "--rm", *ports, *options]
    path, name = reference.location, reference.name or ""
    match reference.transport:
        case Transport.ARCHIVE | Transport.DOCKER_ARCHIVE:
            commands = [[engine, "load", "-i", path], [*run, name]]
        case Transport.OCI | Transport.OCI_ARCHIVE if engine == _DOCKER:
            stored = name if ":" in name else name_of_path(path)
            # Not docker-daemon: by itself: skopeo knows no DOCKER_HOST and no contexts.
            archive = f"{Transport.DOCKER_ARCHIVE.prefix}/dev/stdout:{stored}"
            copy = shlex.join(["skopeo", "copy", "-q", str(reference), archive])
            return f"{copy} | {engine} load -q && {shlex.join([*run, stored])}"
        case Transport.OCI | Transport.OCI_ARCHIVE:
            commands = [[*run, str(reference)]]
        case Transport.TARBALL:
            stored = name_of_path(path)
            commands = [
                [engine, "import", *_change_options(image), path, stored],
                [*run, stored],
            ]
        case Transport.ROOTFS if engine == _DOCKER:
            stored = name_of_path(path)
            pack = shlex.join(["tar", "-C", path, "--numeric-owner", "-c", "."])
            load = shlex.join([engine, "import", *_change_options(image), "-", stored])
            return f"{pack} | {load} && {shlex.join([*run, stored])}"
        case Transport.ROOTFS:
            argv = [*config.get("Entrypoint", ()), *config.get("Cmd", ())]
            root = ["--rootfs", os.path.abspath(path)]
            commands = [[*run, *_run_options(config), *root, *argv]]
        case Transport.REGISTRY:
            tls = tls_options(reference) if engine == _PODMAN else []
            commands = [[*run, *tls, name]]
        case _:
            commands = [[*run, name]]
    return " && ".join(shlex.join(command) for command in commands)


def _publish(port: str) -> tuple[str, str]:
    number, _, protocol = port.partition("/")
    suffix = "" if protocol in {"", "tcp"} else f"/{protocol}"
    return "-p", f"{number}:{number}{suffix}"


def _run_options(config: dict[str, Any]) -> list[str]:
    """The configuration of a tree, which has none of its own."""
    options = [word for pair in config.get("Env", ()) for word in ("-e", pair)]
    for key, option in (("User", "-u"), ("WorkingDir", "-w")):
        if config.get(key):
            options += [option, config[key]]
    return options


def _change_options(image: Image) -> list[str]:
    """The configuration of a tarball, as instructions that ``import`` knows."""
    lines = render_dockerfile(image.config, "")
    return [word for line in lines if line.startswith(_CHANGES) for word in ("--change", line)]
