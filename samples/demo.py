"""The demo: traces the Flask app, builds its slim image, verifies it, and shows the result.

``make demo`` runs it with the Python of the demo's virtual environment. It needs no container
engine and no root, and leaves ``demo/slim.tar``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
APP = REPOSITORY / "samples" / "python-flask"
DEMO = REPOSITORY / "demo"
APP_VENV = DEMO / "app-venv"
TRACE = DEMO / "app.trace"
IMAGE = DEMO / "slim.tar"
LOG = DEMO / "app.log"
SLIMTRACE = Path(sys.executable).with_name("slimtrace")

NAME = "slimtrace-demo"
USER = "65532:65532"
REQUESTS = 20
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
HOST = "127.0.0.1"


class DemoError(Exception):
    """A failure, as one line for the user."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo, or with ``ask PORT`` send its requests; returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the finally blocks
    try:
        if arguments[:1] == ["ask"]:
            ask(int(arguments[1]))
        else:
            demo()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"demo: cannot finish: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def demo() -> None:
    DEMO.mkdir(exist_ok=True)
    step("setting up the app in demo/app-venv")
    set_up_app()
    port = free_port()
    step(f"running the app untraced and under slimtrace, {REQUESTS} requests each, twice")
    times = [(run_untraced(port), run_traced(port)) for _ in range(2)]
    untraced, traced = map(min, zip(*times, strict=True))  # other programs run too
    step("building demo/slim.tar")
    built = build()
    step("verifying it: the same requests in the slim image")
    try:
        verified = verify()
    except DemoError:  # if users may not make namespaces, the image is still there
        show(built, untraced, traced, "no", port)
        raise
    show(built, untraced, traced, verified, port)


# ---- the steps


def set_up_app() -> None:
    """A virtual environment for the app, made again when its requirements change."""
    requirements = (APP / "requirements.txt").read_text()
    done = APP_VENV / "requirements.txt"
    if done.exists() and done.read_text() == requirements:
        return
    call([sys.executable, "-m", "venv", "--clear", str(APP_VENV)], "cannot make demo/app-venv")
    pip = [str(APP_VENV / "bin" / "pip"), "install", "-qq", "-r", str(APP / "requirements.txt")]
    call(pip, "cannot install the app's requirements", PIP_DISABLE_PIP_VERSION_CHECK="1")
    done.write_text(requirements)


def run_untraced(port: int) -> float:
    """Run the app without slimtrace; seconds from its start to its end."""
    began = time.monotonic()
    with started(["gunicorn", "app:app"], port) as app:
        await_ready(app, port)
        call(ask_command(port), "cannot ask the app")
        stop(app)
    return time.monotonic() - began


def run_traced(port: int) -> float:
    """Run it under slimtrace, which stops the app when the requests are answered; seconds."""
    command = [
        *(str(SLIMTRACE), "-q", "run", "-o", str(TRACE), "--force"),
        *("--ready", f"http://{HOST}:{port}/"),
        *("--exec", shlex.join(ask_command(port))),
        *("--", "gunicorn", "app:app"),
    ]
    began = time.monotonic()
    with started(command, port) as process:
        status = process.wait()
    if status != 0:
        raise DemoError(f"cannot trace the app: exit status {status}{log_tail()}")
    return time.monotonic() - began


def build() -> Mapping[str, Any]:
    """Build the image; the document that ``slimtrace build --json`` prints."""
    command = [
        *(str(SLIMTRACE), "build", str(TRACE), "-o", str(IMAGE), "--tag", NAME),
        *("--user", USER, "--grant-read", "--json"),
    ]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)
    if built.returncode != 0:
        raise DemoError(f"cannot build {IMAGE}: exit status {built.returncode}")
    described: Mapping[str, Any] = json.loads(built.stdout)
    return described


def verify() -> str:
    """Repeat the traced run in the slim image with a read-only root; the result in one line.

    :raises DemoError: something is missing or went differently, or the image cannot be run here.
    """
    command = [
        *(str(SLIMTRACE), "verify", str(IMAGE), "--trace", str(TRACE)),
        *("--read-only", "--env", f"HOST={HOST}", "--json"),
    ]
    with log() as output:
        done = subprocess.run(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=output, check=False
        )
    if done.returncode != 0:
        raise DemoError(f"cannot verify {IMAGE}: exit status {done.returncode}{log_tail()}")
    verdict = json.loads(done.stdout)
    return (
        f"{REQUESTS} requests repeated in the image as {USER} with a read-only root: "
        f"{len(verdict['missing'])} files missing"
    )


def show(
    built: Mapping[str, Any], untraced: float, traced: float, verified: str, port: int
) -> None:
    """Print the result."""
    image, kept, full = built["image"], built["kept"], built["full"]
    sizes = [format_size(image[name]) for name in ("size", "uncompressed")]
    files = f"{kept['files']:,} of {full['files']:,} files"
    rows = (
        ("kept", f"{files}, {format_size(kept['bytes'])} of {format_size(full['bytes'])}"),
        ("time", f"{traced:.2f} s traced, {untraced:.2f} s untraced: start to stop"),
        ("image", f"demo/slim.tar, {sizes[0]}, {sizes[1]} unpacked"),
        ("digest", image["digest"]),
        ("verified", verified),
        ("next", "podman load -i demo/slim.tar"),
        ("", f"podman run --rm --read-only --cap-drop all -p {port}:{port} {NAME}"),
        ("", f"curl http://localhost:{port}/"),
    )
    print()
    for name, text in rows:
        print(f"  {name:10}{text}")


# ---- the app and its requests


def ask_command(port: int) -> list[str]:
    """The command that sends the requests; all runs use the same."""
    return [sys.executable, os.path.abspath(__file__), "ask", str(port)]


def ask(port: int) -> None:
    """Send the requests. They take the place of an app's own tests."""
    for number in range(REQUESTS - 1):
        get(port, f"/?name={number}&zone=Europe/Berlin")
    get(port, "/healthz")


def get(port: int, path: str) -> str:
    """The body of a GET's answer.

    :raises DemoError: the status is not 200.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
    if response.status != http.client.OK:
        raise DemoError(f"cannot use the app: GET {path} answered {response.status}{log_tail()}")
    return body.strip()


def await_ready(app: subprocess.Popen[bytes], port: int) -> None:
    """Wait until GET / answers."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            get(port, "/")
        except OSError:
            if app.poll() is not None:
                raise DemoError(f"the app ended with {app.returncode}{log_tail()}") from None
            if time.monotonic() > deadline:
                raise DemoError(f"the app is not ready in {READY_SECONDS} s{log_tail()}") from None
            time.sleep(0.02)
        else:
            return


def stop(app: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, as platforms do, and check that the app ends with status 0."""
    app.terminate()
    try:
        status = app.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise DemoError(f"the app still runs {STOP_SECONDS} s after SIGTERM") from None
    if status != 0:
        raise DemoError(f"the app ended with {status} after SIGTERM{log_tail()}")


@contextlib.contextmanager
def started(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the app's directory, its output in demo/app.log."""
    env = {
        "PATH": f"{APP_VENV}/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PORT": str(port),
        "HOST": HOST,
    }
    if state := os.environ.get("XDG_STATE_HOME"):  # has the key by which verify knows our traces
        env["XDG_STATE_HOME"] = state
    with log() as output:
        process = subprocess.Popen(
            command, cwd=APP, env=env, stdout=output, stderr=output, start_new_session=True
        )
        with ending(process):
            yield process


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End the process when the block ends, also by an exception."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        if process.poll() is None:
            process.kill()
        process.wait()


# ---- small things


def step(text: str) -> None:
    print(f"demo: {text}", flush=True)


def call(command: Sequence[str], purpose: str, **env: str) -> None:
    """Run a command to its end; an error shows its output."""
    result = subprocess.run(
        command,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise DemoError(f"{purpose}: exit status {result.returncode}\n{result.stdout.rstrip()}")


def free_port() -> int:
    """8080 if it is free, because the image's config will name the port; else another."""
    for port in (8080, 0):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)) as server:
            return int(server.getsockname()[1])
    raise DemoError(f"cannot listen on {HOST}")


def log() -> IO[bytes]:
    return LOG.open("wb")


def log_tail() -> str:
    """The last lines of the app's log, to follow an error message."""
    lines = LOG.read_text(errors="replace").splitlines()[-15:] if LOG.exists() else []
    return "".join(f"\n  {line}" for line in lines)


def format_size(size: float) -> str:
    """A number of bytes with SI units, as disks and registries count."""
    units = ["GB", "MB", "kB", "B"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop()
    return f"{size:.1f} {units[-1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
