"""The demo: traces the Flask app, builds its slim image, runs it there, says what came of it.

``make demo`` runs it with the Python of the repository's virtual environment. It needs no
container engine and no root, and leaves ``demo/slim.tar``.
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
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox import Sandbox

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
    """One line for the person who watches."""


@dataclass(frozen=True, slots=True)
class SlimImage:
    """An image unpacked: its root, and its configuration by the OCI image-spec."""

    root: str
    config: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        return [*(self.config.get("Entrypoint") or ()), *(self.config.get("Cmd") or ())]

    @property
    def env(self) -> dict[str, str]:
        pairs = (pair.partition("=") for pair in self.config.get("Env") or ())
        return {name: value for name, _, value in pairs}


def main(words: Sequence[str]) -> int:
    """The demo, or with ``ask PORT`` the requests that it sends; the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is open is closed
    try:
        if words[:1] == ["ask"]:
            ask(int(words[1]))
        else:
            demo()
    except (DemoError, SlimtraceError) as error:
        print(f"demo: {error}", file=sys.stderr)
        if isinstance(error, SlimtraceError) and error.hint:
            print(f"demo: {error.hint}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"demo: cannot go on: {error}", file=sys.stderr)
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
    untraced, traced = map(min, zip(*times, strict=True))  # the machine has other things to do
    step("building demo/slim.tar")
    built = build()
    step("running the app in the slim image")
    try:
        with unpacked(IMAGE) as image:
            answer = f"{run_slim(image, port)} as {USER} in a read-only root"
    except SlimtraceError:  # where users may have no namespaces, the image is there all the same
        show(built, untraced, traced, "none: it cannot be run here", port)
        raise
    show(built, untraced, traced, answer, port)


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
    """Seconds until the app was ready, had answered and was gone."""
    began = time.monotonic()
    with started(["gunicorn", "app:app"], port) as app:
        await_ready(app, port)
        call(asking(port), "cannot ask the app")
        stop(app)
    return time.monotonic() - began


def run_traced(port: int) -> float:
    """The same by slimtrace, which stops the app when its driver has ended."""
    command = [
        *(str(SLIMTRACE), "-q", "run", "-o", str(TRACE), "--force"),
        *("--ready", f"http://{HOST}:{port}/"),
        *("--exec", shlex.join(asking(port))),
        *("--", "gunicorn", "app:app"),
    ]
    began = time.monotonic()
    with started(command, port) as process:
        status = process.wait()
    if status != 0:
        raise DemoError(f"cannot trace the app: exit status {status}{last_words()}")
    return time.monotonic() - began


def build() -> Mapping[str, Any]:
    """What ``slimtrace build --json`` says of the image."""
    command = [
        *(str(SLIMTRACE), "build", str(TRACE), "-o", str(IMAGE), "--tag", NAME),
        *("--user", USER, "--grant-read", "--json"),
    ]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)
    if built.returncode != 0:
        raise DemoError(f"cannot build {IMAGE}: exit status {built.returncode}")
    described: Mapping[str, Any] = json.loads(built.stdout)
    return described


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[SlimImage]:
    """The image's layer in a directory that goes at the end.

    tarfile and manifest.json, as ``docker load`` would read it, and nothing of slimtrace.
    """
    with tempfile.TemporaryDirectory(prefix="slimtrace-demo-") as name:
        root = Path(name) / "root"
        root.mkdir(mode=0o755)
        with tarfile.open(archive) as whole:
            manifest = json.load(member(whole, "manifest.json"))[0]
            config = json.load(member(whole, manifest["Config"]))["config"]
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=member(whole, layer)) as files:
                    files.extraction_filter = lambda entry, _: entry  # it was built a moment ago
                    files.extractall(root, numeric_owner=True)  # noqa: S202
        yield SlimImage(str(root), config)


def run_slim(image: SlimImage, port: int) -> str:
    """What the app answers in the slim image, run as its configuration says, read-only."""
    sandbox = Sandbox(
        image.root,
        user=image.config["User"],
        workdir=image.config["WorkingDir"],
        env={**image.env, "HOST": HOST, "PORT": str(port)},
        read_only=True,
    )
    with log() as output, ending(sandbox.popen(image.command, stdout=output, stderr=output)) as app:
        await_ready(app, port)
        answer = get(port, "/")
        stop(app)
    return answer


def show(built: Mapping[str, Any], untraced: float, traced: float, answer: str, port: int) -> None:
    """The outcome, for people."""
    image, kept, full = built["image"], built["kept"], built["full"]
    files = f"{kept['files']:,} of {full['files']:,} files"
    rows = (
        ("kept", f"{files}, {amount(kept['bytes'])} of {amount(full['bytes'])}"),
        ("time", f"{traced:.2f} s traced, {untraced:.2f} s untraced: start to stop"),
        (
            "image",
            f"demo/slim.tar, {amount(image['size'])}, {amount(image['uncompressed'])} unpacked",
        ),
        ("digest", image["digest"]),
        ("answer", answer),
        ("next", "podman load -i demo/slim.tar"),
        ("", f"podman run --rm --read-only --cap-drop all -p {port}:{port} {NAME}"),
        ("", f"curl http://localhost:{port}/"),
    )
    print()
    for name, text in rows:
        print(f"  {name:8}{text}")


# ---- the app and its requests


def asking(port: int) -> list[str]:
    """The command that sends the requests, the same for both runs."""
    return [sys.executable, os.path.abspath(__file__), "ask", str(port)]


def ask(port: int) -> None:
    """Send the requests that stand for the app's tests."""
    for number in range(REQUESTS - 1):
        get(port, f"/?name={number}&zone=Europe/Berlin")
    get(port, "/healthz")


def get(port: int, path: str) -> str:
    """The body of a GET's answer.

    :raises DemoError: it is not a 200.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
    if response.status != http.client.OK:
        raise DemoError(f"cannot use the app: GET {path} answered {response.status}{last_words()}")
    return body.strip()


def await_ready(app: subprocess.Popen[bytes], port: int) -> None:
    """Wait until GET / answers."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            get(port, "/")
        except OSError:
            if app.poll() is not None:
                raise DemoError(f"the app ended with {app.returncode}{last_words()}") from None
            if time.monotonic() > deadline:
                raise DemoError(
                    f"the app is not ready in {READY_SECONDS} s{last_words()}"
                ) from None
            time.sleep(0.02)
        else:
            return


def stop(app: subprocess.Popen[bytes]) -> None:
    """Ask the app to end, as platforms do, and see that it does."""
    app.terminate()
    try:
        status = app.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise DemoError(f"the app still runs {STOP_SECONDS} s after SIGTERM") from None
    if status != 0:
        raise DemoError(f"the app ended with {status} after SIGTERM{last_words()}")


@contextlib.contextmanager
def started(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the app's directory, its output in demo/app.log."""
    env = {
        "PATH": f"{APP_VENV}/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PORT": str(port),
        "HOST": HOST,
    }
    with log() as output:
        process = subprocess.Popen(
            command, cwd=APP, env=env, stdout=output, stderr=output, start_new_session=True
        )
        with ending(process):
            yield process


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """However the block ends, the process is gone, and what it started with it."""
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
    """Run a command to its end; its output is shown if it fails."""
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
    """8080 if nobody has it, because the image will carry it; else another."""
    for port in (8080, 0):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)) as server:
            return int(server.getsockname()[1])
    raise DemoError(f"cannot listen on {HOST}")


def member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """An archive's file, open.

    :raises DemoError: there is none.
    """
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise DemoError(f"cannot read {IMAGE}: no file {name}")
    return file


def log() -> IO[bytes]:
    return LOG.open("wb")


def last_words() -> str:
    """The end of what the app said, to follow a message."""
    lines = LOG.read_text(errors="replace").splitlines()[-15:] if LOG.exists() else []
    return "".join(f"\n  {line}" for line in lines)


def amount(size: float) -> str:
    """A number of bytes with SI units, as disks and registries count."""
    units = ["GB", "MB", "kB", "B"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop()
    return f"{size:.1f} {units[-1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
