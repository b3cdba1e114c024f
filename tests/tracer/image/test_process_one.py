"""Process 1 of the sandbox, and privileges that programs of the image grant: as under engines."""

from __future__ import annotations

import os
import shutil
import struct
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from requirements import need_root
from roots import busybox_root
from traces import run_slimtrace, show

from slimtrace.tracer.engines.choice import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Tracee

INIT = "::once:/bin/sh -c 'echo up; exec sleep 100'\n"
APPLETS = ("cut", "grep", "init", "ps", "seq", "wc")
NET_BIND_SERVICE = 1 << 10
GRACE_SECONDS = 60.0


class Ran(NamedTuple):
    status: int
    lines: list[str]
    err: str
    trace: str


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Run words in an image in ``tmp_path/root``."""
    root = busybox_root(tmp_path / "root", {"etc/inittab": INIT, "srv/file": ""})
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")

    def start(words: tuple[str, ...], *options: str) -> Ran:
        output = str(tmp_path / "app.trace")
        arguments = ("-q", "run", "--force", "-o", output, "--image", f"rootfs:{root}")
        done = run_slimtrace(*arguments, *options, "--", *words)
        assert "Traceback" not in done.stderr
        return Ran(done.returncode, done.stdout.splitlines(), done.stderr, output)

    return start


def gaps(document: dict[str, Any]) -> set[str]:
    return {gap["kind"] for run in document["runs"] for gap in run["gaps"]}


def shell(text: str) -> tuple[str, ...]:
    return "sh", "-c", text


def test_an_init_that_must_be_process_one(run: Callable[..., Ran], engine: str) -> None:
    options = ("--engine", engine, "--ready", "log:up", "--stop-after", "0", "--stop-grace", "1")
    done = run(("init",), *options)
    assert "up" in done.lines, done.err
    assert "PID 1" not in "".join([*done.lines, done.err])
    commands = [image["argv"][:1] for image in show(done.trace)["processes"]]
    assert [each for each in commands if each in (["init"], ["sleep"])] == [["init"], ["sleep"]]


def test_the_app_sees_its_own_processes_alone(run: Callable[..., Ran], engine: str) -> None:
    done = run(shell("echo $$; echo /proc/[0-9]*"), "--engine", engine)
    assert done.lines == ["1", "/proc/1"]


def test_an_orphan_is_of_the_program_that_forked_it(run: Callable[..., Ran], engine: str) -> None:
    """It is a child of process 1, which runs another program."""
    text = "sh -c 'sh -c \"sleep 0.3; cat /work/x\" & exit 0'; sleep 1"
    done = run(shell(text), "--engine", engine)
    document = show(done.trace)
    assert gaps(document) == set()
    cat = next(image for image in document["processes"] if image["argv"][:1] == ["cat"])
    parent = next(image for image in document["processes"] if image["id"] == cat["parent"])
    assert parent["argv"] == ["sh", "-c", "sleep 0.3; cat /work/x"]


def test_an_init_waits_for_orphans(run: Callable[..., Ran], engine: str) -> None:
    text = (
        "orphan=$(sh -c 'sleep 1000 >/dev/null & echo $!'); grep PPid /proc/$orphan/status;"
        " kill $orphan;"
        " for i in $(seq 300); do [ -e /proc/$orphan ] || break; sleep 0.1; done;"
        " [ -e /proc/$orphan ] || echo gone; echo $$"
    )
    done = run(shell(text), "--engine", engine, "--init")
    assert done.lines == ["PPid:\t1", "gone", "2"], done.err


def test_an_init_passes_signals_on(run: Callable[..., Ran], engine: str) -> None:
    text = "trap 'echo asked; exit 7' USR1; kill -USR1 1; while :; do sleep 0.05; done"
    done = run(shell(text), "--engine", engine, "--init")
    assert (done.status, done.lines) == (7, ["asked"])
    run_ = show(done.trace)["runs"][0]
    assert (run_["init"], run_["exit_status"]) == (True, 7)


def test_a_repeat_has_an_init_too(tmp_path: Path) -> None:
    root = busybox_root(tmp_path / "root")
    options = ("-o", "app.tar", "--init", "--image", f"rootfs:{root}")
    done = run_slimtrace("slim", *options, "--", *shell("[ $$ = 2 ]"), cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_a_signal_that_process_one_does_not_handle(run: Callable[..., Ran], engine: str) -> None:
    """The kernel discards it. The app ends at once nevertheless, as it does outside containers."""
    began = time.monotonic()
    done = run(
        shell("echo up; exec sleep 1000"),
        *("--engine", engine, "--ready", "log:up", "--stop-after", "0"),
        *("--stop-grace", str(GRACE_SECONDS)),
    )
    assert time.monotonic() - began < GRACE_SECONDS
    last = show(done.trace)["runs"][0]
    assert (last["exit_status"], last["signal"]) == (143, 15)


def test_a_signal_that_process_one_ignores(run: Callable[..., Ran]) -> None:
    options = ("--ready", "log:up", "--stop-after", "0", "--stop-grace", "0.3")
    done = run(shell("trap '' TERM; echo up; exec sleep 1000"), *options)
    assert show(done.trace)["runs"][0]["exit_status"] == 137


# ---- privileges


@pytest.mark.parametrize("options", [(), ("--security-opt", "no-new-privileges")])
def test_a_program_with_capabilities(
    run: Callable[..., Ran], tmp_path: Path, engine: str, options: tuple[str, ...]
) -> None:
    need_root()
    program = tmp_path / "root/bin/capable"
    shutil.copy(tmp_path / "root/bin/busybox", program)
    capability = struct.pack("<IIIII", 0x02000001, NET_BIND_SERVICE, 0, 0, 0)
    os.setxattr(program, "security.capability", capability)
    (tmp_path / "root/srv/grep").symlink_to("/bin/capable")
    words = ("/srv/grep", "CapEff", "/proc/self/status")
    done = run(words, "--user", "1000:1000", "--engine", engine, *options)
    number = 0 if options else NET_BIND_SERVICE
    assert done.lines == [f"CapEff:\t{number:016x}"], done.err
    document = show(done.trace)
    assert gaps(document) == set()
    assert document["runs"][0].get("no_new_privileges", False) == bool(options)


def test_a_setuid_program(
    run: Callable[..., Ran], tmp_path: Path, tracee: Tracee, engine: str
) -> None:
    need_root()
    program = tmp_path / "root/bin/print_euid"
    shutil.copy(tracee("print_euid", "-static"), program)
    program.chmod(0o4755)
    done = run(("print_euid", "/srv"), "--user", "1000:1000", "--engine", engine)
    assert done.lines == ["0"], done.err
    assert gaps(show(done.trace)) == set()


def test_a_setuid_program_where_root_does_not_exist(
    run: Callable[..., Ran], tmp_path: Path, tracee: Tracee
) -> None:
    """With one ID alone: the program runs as who started it, and the trace says so."""
    need_root()
    program = tmp_path / "root/bin/print_euid"
    shutil.copy(tracee("print_euid", "-static"), program)
    program.chmod(0o4755)
    output = str(tmp_path / "nested.trace")
    arguments = ("-q", "run", "-o", output, "--image", f"rootfs:{tmp_path}/root")
    options = ("--user", "1000:1000", "--", "print_euid", "/srv")
    done = run_slimtrace(*arguments, *options, prefix=("unshare", "-Urm"))
    assert done.stdout == "1000\n", done.stderr
    assert gaps(show(output)) == {"setuid"}
