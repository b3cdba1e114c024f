"""Containers that runc or crun starts from a bundle, without the additions of an engine."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine import compile_static
from requirements import need, need_root, skip_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

Runtime = Literal["runc", "crun"]

# On a host with hybrid cgroups, crun refuses to start. It runs in its own mount namespace,
# with only cgroup2 mounted.
MOUNT_CGROUP2 = """
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 99
exec "$@"
"""
COMMANDS = {"runc": ["runc"], "crun": ["crun", "--cgroup-manager=disabled"]}
ALLOW = {"defaultAction": "SCMP_ACT_ALLOW"}
CAPABILITIES = ["CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"]


def run_bundle(
    runtime: Runtime,
    folder: Path,
    seccomp: Mapping[str, Any],
    *argv: str,
    no_new_privileges: bool,
    uid: int = 65532,
) -> subprocess.CompletedProcess[str]:
    """Run argv in the root ``folder/rootfs`` under a profile; the user has one more group."""
    _need(runtime)
    config = _config(seccomp, argv, uid, no_new_privileges=no_new_privileges)
    (folder / "config.json").write_text(json.dumps(config))
    return _run(runtime, folder)


@cache
def _need(runtime: Runtime) -> None:
    """Skip the test unless the runtime can run a bundle here."""
    need_root()
    need(runtime, "unshare")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rootfs" / "dev").mkdir(parents=True)
        compile_static(str(folder / "rootfs"), "int main(void) { return 42; }")
        config = _config(ALLOW, ("/program",), 0, no_new_privileges=True)
        (folder / "config.json").write_text(json.dumps(config))
        done = _run(runtime, folder)
    if done.returncode != 42:
        skip_missing(f"a {runtime} that can run a bundle ({done.stderr.strip()})")


def _run(runtime: Runtime, folder: Path) -> subprocess.CompletedProcess[str]:
    prefix = ["unshare", "--mount", "sh", "-c", MOUNT_CGROUP2, "sh"]
    name = f"slimtrace-{os.getpid()}-{os.path.basename(folder)}"
    return subprocess.run(
        [*prefix, *COMMANDS[runtime], "run", "--bundle", str(folder), name],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _config(
    seccomp: Mapping[str, Any], argv: tuple[str, ...], uid: int, *, no_new_privileges: bool
) -> dict[str, Any]:
    """Make a minimal config.json (OCI runtime-spec)."""
    kinds = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "/",
            "args": list(argv),
            "env": ["PATH=/"],
            "user": {"uid": uid, "gid": uid, "additionalGids": [5]},
            "capabilities": dict.fromkeys(kinds, CAPABILITIES),
            "noNewPrivileges": no_new_privileges,
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
            "seccomp": dict(seccomp),
        },
    }
