"""How long a sample takes until it is ready, in its full image and in a slim one."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from beside import beside
from containers import loaded, working_flags
from fullimage import SampleError, call
from starting import PATIENCE, Started, in_podman, serve
from volumes import empty_volumes

from slimtrace.tracer.drive.ready import Delay, parse_ready
from slimtrace.tracer.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sample import Sample

    Starter = Callable[[], AbstractContextManager[Started]]

STARTS = 3


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds: until what shows that an app is ready does, or a job has ended.

    :ivar where: ``podman`` or ``sandbox``, which is slimtrace's, without tracing.
    """

    where: str
    full: float
    slim: float


def times(sample: Sample, full: str, slim: str, starts: int = STARTS) -> Times | None:
    """The times of the first run, of both images in turn, so that what else happens hits both.

    :param full: ``oci:DIR:TAG``, as ``slim`` is.
    :returns: None where nothing but what drives the app shows that it is ready, and there is no
        container to do that in.
    :raises SampleError: a start failed.
    """
    with ExitStack() as stack:
        try:
            working_flags()
        except SampleError:
            where, starter = "sandbox", _sandboxed
            if isinstance(parse_ready(sample.runs[0].ready or "tcp:1", None, "/"), Delay):
                return None
        else:
            where, starter = "podman", _in_podman
        both = [stack.enter_context(starter(sample, image)) for image in (full, slim)]
        seconds = [[_seconds(sample, full, start) for start in both] for _ in range(starts)]
    medians = map(statistics.median, zip(*seconds, strict=True))
    return Times(where, *medians)


def _seconds(sample: Sample, full: str, start: Starter) -> float:
    with beside(sample, full):
        started = serve(sample.runs[0], start(), drive=False)
    if started.fault is not None:
        raise SampleError(f"{sample.name}: cannot take its time: {started.fault}")
    return started.seconds


@contextmanager
def _in_podman(sample: Sample, image: str) -> Iterator[Starter]:
    with loaded(image) as name:

        @contextmanager
        def start() -> Iterator[Started]:
            with (
                empty_volumes(sample) as volumes,
                in_podman(sample, sample.runs[0], name, volumes=volumes) as app,
            ):
                yield app

        yield start


@contextmanager
def _sandboxed(sample: Sample, image: str) -> Iterator[Starter]:
    with tempfile.TemporaryDirectory() as folder:
        tree = f"{folder}/image"
        call("umoci", "unpack", "--image", image.removeprefix("oci:"), tree)
        process = json.loads(Path(f"{tree}/config.json").read_text())["process"]
        user = process["user"]
        env = dict(pair.split("=", 1) for pair in process["env"])
        box = Sandbox(
            f"{tree}/rootfs", user=f"{user['uid']}:{user['gid']}", workdir=process["cwd"], env=env
        )
        words = [*sample.entrypoint, *(sample.runs[0].command or sample.command)]

        @contextmanager
        def start() -> Iterator[Started]:
            with open(f"{folder}/output", "w+b") as output:
                process = box.popen(words, stdout=output, stderr=output)
                try:
                    yield Started(process, output, lambda: True, _no_container)
                finally:
                    process.terminate()  # a kill is not waited for by what is in the sandbox
                    try:
                        process.wait(PATIENCE)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()

        yield start


def _no_container(argv: Sequence[str]) -> NoReturn:
    raise SampleError(f"cannot run {argv[0]}: there is no container")
