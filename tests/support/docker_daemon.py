"""A real Docker daemon with sockets and folders of its own, and a containerd that serves it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from requirements import need, need_root, skip_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SECONDS = 120.0
"""Time limit of one docker command, and of a daemon's start."""
_STOP_SECONDS = 30.0
_PAUSE_SECONDS = 0.05
_STORAGE_DRIVERS = ("overlay2", "vfs")  # vfs copies each layer, but lies on any file system
_CONTAINERD = """
version = 2
root = "{folder}/containerd"
state = "{folder}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.grpc.v1.cri",
]
[grpc]
address = "{folder}/c.sock"
[ttrpc]
address = "{folder}/t.sock"
"""


class DockerDaemon(NamedTuple):
    """A daemon that runs until its test session ends.

    :ivar folder: has its sockets, images, containers and logs, and an empty client configuration.
    """

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "d.sock"

    @property
    def host(self) -> str:
        """The value for ``DOCKER_HOST``."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which a client uses this daemon, and no other."""
        return {"DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.folder / "client")}

    def docker(
        self, *arguments: str, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker ARGUMENTS`` and wait for its end."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        done = subprocess.run(
            ["docker", *arguments],
            check=False,
            input=stdin or b"",
            capture_output=True,
            env={**env, **self.environment},
            timeout=_SECONDS,
        )
        output, errors = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, output, errors)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``docker run --rm ARGUMENTS`` on this machine's network: the daemon has no other."""
        return self.docker("run", "--rm", "--network", "host", *arguments)

    def load(self, archive: str) -> str:
        """Load an archive; return the name or the id of its image."""
        done = self.docker("load", "--quiet", "--input", archive)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().partition(": ")[2]


@contextmanager
def run_docker_daemon() -> Iterator[DockerDaemon]:
    """Run a daemon until the block ends. Then its containers, mounts and files are gone.

    Skips the test where dockerd is missing or may not run. No test may count on images or
    containers that another test left, and each removes its own.
    """
    need("docker", "dockerd", "containerd", "runc", "setpriv")
    need_root()
    # A socket's path has at most 107 bytes (unix(7)), and pytest's folders are deep.
    folder = Path(tempfile.mkdtemp(prefix="docker-"))
    try:
        with ExitStack() as stack:
            yield _start(folder, stack)
    finally:
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, stack: ExitStack) -> DockerDaemon:
    daemon = DockerDaemon(folder)
    (folder / "client").mkdir()
    (folder / "daemon.json").write_text("{}")  # else /etc/docker/daemon.json counts
    (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder))
    argv = ["containerd", "--config", f"{folder}/containerd.toml", "--log-level", "warn"]
    containerd = stack.enter_context(_process(argv, folder / "containerd.log"))
    if not _wait(containerd, (folder / "c.sock").exists):
        skip_missing(f"a containerd ({_last_line(folder / 'containerd.log')})")
    for driver in _STORAGE_DRIVERS:
        with ExitStack() as attempt:
            dockerd = attempt.enter_context(
                _process(_dockerd(daemon, driver), folder / "dockerd.log")
            )
            if _wait(dockerd, lambda: _answers(daemon)):
                attempt.callback(_remove_containers, daemon)
                stack.enter_context(attempt.pop_all())
                return daemon
    return skip_missing(f"a Docker daemon ({_last_line(folder / 'dockerd.log')})")


def _dockerd(daemon: DockerDaemon, driver: str) -> list[str]:
    folder = daemon.folder
    return [
        *("dockerd", "--host", daemon.host, "--containerd", f"{folder}/c.sock"),
        *("--config-file", f"{folder}/daemon.json", "--data-root", f"{folder}/data-{driver}"),
        *("--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/dockerd.pid"),
        *("--storage-driver", driver, "--log-level", "warn"),
        *("--iptables=false", "--ip6tables=false", "--bridge=none"),
    ]


@contextmanager
def _process(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon until the block ends, or until this process does, however it ends."""
    # A session of its own: Ctrl-C at the terminal is for pytest, which then stops the daemons.
    guarded = ["setpriv", "--pdeathsig", "TERM", *argv]
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            guarded, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)


def _wait(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> bool:
    """Wait until a daemon is ready; False if it ended before."""
    deadline = time.monotonic() + _SECONDS
    while not is_ready():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, f"{process.args!r} did not start"
        time.sleep(_PAUSE_SECONDS)
    return True


def _answers(daemon: DockerDaemon) -> bool:
    return daemon.socket.exists() and daemon.docker("info").returncode == 0


def _remove_containers(daemon: DockerDaemon) -> None:
    """Containers outlive their daemon: each has a shim of containerd."""
    with suppress(subprocess.TimeoutExpired):
        names = daemon.docker("ps", "--all", "--quiet").stdout.split()
        if names:
            daemon.docker("rm", "--force", "--volumes", *names)


def _unmount(folder: Path) -> None:
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file]
    for point in reversed(points):
        if point.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def _last_line(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2]
