"""All that is needed to set up the sandbox."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.environment import DEFAULT_PATH
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox import overlay
from slimtrace.tracer.sandbox.capabilities import select_capabilities
from slimtrace.tracer.sandbox.users import Account, find_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.image.runtime import ImageRun, Volume

_ALONE = "slimtrace"
_NO_NETWORK = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """An image to run, with its names looked up.

    :ivar tree: its tree, absolute, without symlinks; a run does not change it.
    :ivar env: the app's whole environment.
    :ivar has_network: whether the app uses the machine's network; else it has loopback alone.
    :ivar declared_volumes: stay writable in a read-only root.
    :ivar capabilities: the most that a process can have, by number (linux/capability.h).
    :ivar no_new_privileges: whether no exec gives a process more than its parent has.
    :ivar has_reaper: whether a reaper is process 1, and the app its child.
    """

    tree: str
    account: Account
    env: Mapping[str, str]
    workdir: str
    volumes: tuple[Volume, ...]
    hostname: str
    has_network: bool
    read_only: bool
    declared_volumes: tuple[str, ...]
    capabilities: frozenset[int]
    below: str | None
    no_new_privileges: bool = False
    has_reaper: bool = False


def make_sandbox_config(inside: ImageRun) -> SandboxConfig:
    """Look up the user, the environment and the paths of an image to run.

    :raises SlimtraceError: the tree is not a directory, or has no such user.
    :raises UsageError: ``cap_drop`` or ``cap_add`` names an unknown capability.
    """
    tree = os.path.realpath(inside.root)
    if not os.path.isdir(tree):
        raise SlimtraceError(f"cannot enter {inside.root}: it is not a directory")
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
        declared_volumes=inside.declared_volumes,
        capabilities=select_capabilities(inside.cap_drop, inside.cap_add),
        below=inside.below and os.path.realpath(inside.below),
        no_new_privileges=inside.no_new_privileges,
        has_reaper=inside.has_reaper,
    )


def make_scratch_folder(sandbox: SandboxConfig) -> overlay.ScratchFolder:
    """Create a scratch folder for one run, with the files that engines mount into a container."""
    folder = overlay.create_scratch_folder()
    for name, text in _shown(sandbox):
        with open(os.path.join(folder.path, name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, 0o644)
    return folder


def list_mounted_files(folder: str) -> dict[str, str]:
    """Paths in the image, and the files that are mounted there."""
    names = ("hostname", "hosts", "resolv.conf")
    return {f"/etc/{name}": os.path.join(folder, name) for name in names}


def _shown(sandbox: SandboxConfig) -> Iterable[tuple[str, str]]:
    hosts = _content("/etc/hosts") if sandbox.has_network else _NO_NETWORK
    if sandbox.hostname not in hosts.split():
        hosts = f"{hosts.rstrip()}\n127.0.0.1\t{sandbox.hostname}\n".lstrip()
    yield "hosts", hosts
    yield "hostname", f"{sandbox.hostname}\n"
    yield "resolv.conf", _content("/etc/resolv.conf")


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
