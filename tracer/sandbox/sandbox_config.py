"""What the first process of a traced sandbox is told: all that it needs to set the scene."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.environment import DEFAULT_PATH
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox import overlay
from slimtrace.tracer.sandbox.capabilities import without
from slimtrace.tracer.sandbox.users import Account, find_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.image.runtime import ImageRun, Volume

_ALONE = "slimtrace"
_NO_NETWORK = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """An image with everything that its words mean looked up.

    :ivar tree: its pristine tree, absolute, without symlinks.
    :ivar env: whole, as the app gets it.
    :ivar has_network: whether it is the machine's.
    :ivar capabilities: the most that a process may have (linux/capability.h).
    """

    tree: str
    account: Account
    env: Mapping[str, str]
    workdir: str
    volumes: tuple[Volume, ...]
    hostname: str
    has_network: bool
    read_only: bool
    capabilities: frozenset[int]
    below: str | None


def stage_of(inside: ImageRun) -> SandboxConfig:
    """What an image's words mean.

    :raises SlimtraceError: there is no such tree, or its user is not known there.
    :raises UsageError: a capability that is to be dropped does not exist.
    """
    tree = os.path.realpath(inside.root)
    if not os.path.isdir(tree):
        raise SlimtraceError(f"cannot enter {inside.root}: it is no directory")
    account = find_account(tree, inside.user)
    has_network = inside.network == "host"
    hostname = inside.hostname or (socket.gethostname() if has_network else _ALONE)
    given = {"PATH": DEFAULT_PATH, "HOME": account.home, "HOSTNAME": hostname}
    return SandboxConfig(
        tree=tree,
        account=account,
        env={**given, **inside.env},
        workdir=inside.workdir or "/",
        volumes=inside.volumes,
        hostname=hostname,
        has_network=has_network,
        read_only=inside.read_only,
        capabilities=without(inside.cap_drop),
        below=inside.below and os.path.realpath(inside.below),
    )


def make_folder(stage: SandboxConfig) -> overlay.ScratchFolder:
    """A scratch folder for one run, with the files that engines show to a container in it."""
    folder = overlay.make_folder()
    for name, text in _shown(stage):
        with open(os.path.join(folder.path, name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, 0o644)
    return folder


def files(folder: str) -> dict[str, str]:
    """Paths in the image to the files that are shown there."""
    names = ("hostname", "hosts", "resolv.conf")
    return {f"/etc/{name}": os.path.join(folder, name) for name in names}


def _shown(stage: SandboxConfig) -> Iterable[tuple[str, str]]:
    hosts = _content("/etc/hosts") if stage.has_network else _NO_NETWORK
    if stage.hostname not in hosts.split():
        hosts = f"{hosts.rstrip()}\n127.0.0.1\t{stage.hostname}\n".lstrip()
    yield "hosts", hosts
    yield "hostname", f"{stage.hostname}\n"
    yield "resolv.conf", _content("/etc/resolv.conf")


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
