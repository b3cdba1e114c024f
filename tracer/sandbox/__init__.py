"""Runs a program in a root of its own, as a container engine would, without one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox.spec import Spec, decode_failure, parse_user

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    _Stdio = int | IO[bytes] | None

__all__ = ["Sandbox"]


class Sandbox:
    """A root directory to run programs in, apart from this machine's files and processes.

    It has its own mounts, processes, IPC objects and host name, and the machine's network. /proc,
    /sys and /dev are mounted; resolv.conf and hosts are this machine's. It works as root, and for
    a user where the kernel gives user namespaces to users; then the wanted user is the caller
    under another number (user_namespaces(7)), and is the only one there.

    :param root: a directory with a root filesystem. Setting up changes nothing in it: where a
        mount point is missing, it goes under an overlay whose scratch is in memory, and what the
        program writes ends there instead of in ``root``.
    :param user: ``uid:gid``, numeric; a gid left out is 0.
    :param workdir: the working directory, absolute inside ``root``.
    :param env: the whole environment; without a PATH commands are looked for where container
        engines look.
    :param read_only: the root cannot be written, save /tmp and /run, where writes stay in memory.
    """

    def __init__(
        self,
        root: str,
        *,
        user: str = "0:0",
        workdir: str = "/",
        env: Mapping[str, str],
        read_only: bool = False,
    ) -> None:
        self._root = root
        self._user = parse_user(user)
        self._workdir = workdir
        self._env = dict(env)
        self._read_only = read_only

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: _Stdio = None,
        stdout: _Stdio = None,
        stderr: _Stdio = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program; when this returns, it has been executed.

        The process that is returned passes SIGTERM and its like on to the program and ends with
        its exit status, 128+N for signal N. It and all that runs in the sandbox die with it, and
        it dies with the caller.

        :raises CommandNotFoundError: no such program in the root.
        :raises CannotExecuteError: it is there and cannot be executed.
        :raises SlimtraceError: the sandbox cannot be had; the hint names the setting that forbids
            it where the kernel shows one.
        """
        spec = Spec(
            root=os.path.realpath(self._root),
            argv=tuple(argv),
            user=self._user,
            workdir=self._workdir,
            env=self._env,
            read_only=self._read_only,
            parent=os.getpid(),
        )
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    # The spec goes through the socket: an environment is no one else's to read
                    # in a list of processes.
                    [sys.executable, "-P", "-m", "slimtrace.tracer.sandbox", str(theirs.fileno())],
                    env={**os.environ, "PYTHONPATH": _import_path()},
                    pass_fds=(theirs.fileno(),),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                )
            try:
                self._await_exec(ours, spec)
            except SlimtraceError:
                _discard(process)
                raise
            except BaseException:
                process.kill()
                _discard(process)
                raise
        return process

    def _await_exec(self, channel: socket.socket, spec: Spec) -> None:
        """Hand over the spec and wait until the program is executed, which closes the channel."""
        try:
            channel.sendall(spec.encode())
            channel.shutdown(socket.SHUT_WR)
            lines = b"".join(iter(lambda: channel.recv(65536), b"")).splitlines()
        except ConnectionError:
            lines = []
        if not lines:
            raise SlimtraceError(f"cannot enter {self._root}: its launcher did not start")
        if len(lines) > 1:
            raise decode_failure(lines[1])


def _import_path() -> str:
    """Where the launcher finds this package, however the caller found it."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))


def _discard(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that is ending, and close its pipes without reading them."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()
