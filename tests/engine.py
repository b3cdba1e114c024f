"""Real containers: podman, with the flags that it needs where it runs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache

from parts import missing, need

# Where RLIMITs are capped and cgroups are hybrid, crun and a network of its own fail.
_FLAGS = (
    (),
    (
        *("--runtime", "runc", "--ulimit", "nofile=1024:1024"),
        *("--ulimit", "nproc=1024:1024", "--network", "host"),
    ),
)


def need_engine() -> None:
    """Skip the test unless podman can run containers."""
    need("podman")
    _working_flags()


def podman(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman WORDS`` to its end."""
    need("podman")
    return subprocess.run(["podman", *words], check=False, capture_output=True, text=True)


def podman_run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``podman run --rm WORDS``; skips the test where podman cannot run containers."""
    need_engine()
    return _run(_working_flags(), *words)


def compile_static(folder: str, source: str, name: str = "program") -> str:
    """A static program from C source; its path."""
    need("gcc")
    path = os.path.join(folder, name)
    with open(f"{path}.c", "w") as file:
        file.write(source)
    subprocess.run(["gcc", "-static", "-O1", "-o", path, f"{path}.c"], check=True)
    os.unlink(f"{path}.c")
    return path


@cache
def _working_flags() -> tuple[str, ...]:
    own = podman("unshare", "cat", "/proc/self/uid_map") if os.geteuid() else None
    if own is not None and sum(int(line.split()[2]) for line in own.stdout.splitlines()) < 65536:
        return missing("subordinate uids, which rootless podman needs to load images")
    errors = ""
    for flags in _FLAGS:
        with tempfile.TemporaryDirectory() as root:
            compile_static(root, "int main(void) { return 42; }")
            done = _run(flags, "--rootfs", root, "/program")
        if done.returncode == 42:
            return flags
        errors = done.stderr.strip().rpartition("\n")[2]
    return missing(f"a podman that can run containers ({errors})")


def _run(flags: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    # --runtime is podman's own option, the others are those of run.
    own, rest = flags[:2], flags[2:]
    return subprocess.run(
        ["podman", *own, "run", "--rm", *rest, *words],
        check=False,
        capture_output=True,
        text=True,
    )
