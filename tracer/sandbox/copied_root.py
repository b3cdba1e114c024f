"""A root without mounts: a copy of the image, entered by chroot(2).

For root in a container that allows no namespaces, as a step of an image's build or Docker's default
profile. Nothing can be mounted there, so a copy takes the place of the writable layer, and what
engines mount is made of plain files as far as that is possible.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import NoMountsError
from slimtrace.tracer.host.container import suggest_namespaces
from slimtrace.tracer.sandbox.image_copy import copy_image
from slimtrace.tracer.sandbox.mountpoints import DEVICE_LINKS, check_plain

if TYPE_CHECKING:
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

_ROOT = "upper"
_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}  # minor numbers of memory
_MEMORY_MAJOR = 1
_MACHINE_FILES = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")
_MAX_MACHINE_BYTES = 1 << 20


def enter_copy(config: SandboxConfig, folder: str, files: dict[str, str]) -> str:
    """Make a copy of an image's tree the root of this process, and return its path.

    :param folder: the scratch folder, which gets the copy.
    :param files: paths in the image to the files of this machine whose content they get.
    :raises SlimtraceError: the run needs more than a copy, or there is no room for one.
    """
    _check_needs(config)
    root = os.path.join(folder, _ROOT)
    for tree in filter(None, (config.below, config.tree)):
        copy_image(tree, root)
    contents = {path: _read(source) for path, source in files.items()}
    machine = {name: _read(f"/proc/{name}", _MAX_MACHINE_BYTES) for name in _MACHINE_FILES}
    os.chroot(root)
    os.chdir("/")
    for point in ("/proc", "/dev", "/tmp"):  # noqa: S108 -- the app's own
        check_plain(point)
        os.makedirs(point, exist_ok=True)
    os.chmod("/tmp", 0o1777)  # noqa: S103, S108
    _make_devices()
    for path, content in [*contents.items(), *((f"/proc/{n}", c) for n, c in machine.items())]:
        with suppress(OSError):
            _write(path, content)
    return root


def link_program(program: str) -> None:
    """Let /proc/self/exe lead to a program; the tracer changes that for each process."""
    os.makedirs("/proc/self", exist_ok=True)
    os.symlink(os.path.realpath(program), "/proc/self/exe")


def describe_copy(cause: str, hint: str) -> str:
    """What the user should know of such a root, once it was entered.

    :param cause: why there are no namespaces.
    :param hint: how to have some.
    """
    return (
        f"no namespaces can be had here ({cause}): running in a copy of the image by chroot, "
        f"which imitates /proc and devices; the app is not process 1, and as root not confined; "
        f"to change that, {hint}"
    )


def _check_needs(config: SandboxConfig) -> None:
    """:raises NoMountsError: a mount or a namespace is needed."""
    needs = {
        "mount volumes": bool(config.volumes),
        "make the root read-only": config.read_only,
        "run without a network": not config.has_network,
    }
    for need, is_needed in needs.items():
        if is_needed:
            raise NoMountsError(
                f"cannot {need}: this container allows no mounts and namespaces",
                suggest_namespaces(),
            )


def _make_devices() -> None:
    """Make the devices that an app needs most; without CAP_MKNOD plain files take their place.

    The tracer serves those, and what the links lead to (engines/notify/served_files.py).
    """
    for name, target in DEVICE_LINKS.items():
        with suppress(FileExistsError):
            os.symlink(target, f"/dev/{name}")
    for name, minor in _DEVICES.items():
        path = f"/dev/{name}"
        with suppress(FileExistsError):
            try:
                os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(_MEMORY_MAJOR, minor))
            except PermissionError:
                os.mknod(path, 0o666 | stat.S_IFREG)
        os.chmod(path, 0o666)  # noqa: S103 -- as they are everywhere
    os.makedirs("/dev/shm", exist_ok=True)  # noqa: S108 -- the app's own
    os.chmod("/dev/shm", 0o1777)  # noqa: S103, S108


def _read(path: str, limit: int = -1) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def _write(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
