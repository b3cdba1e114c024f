"""The seal of runs: whose key makes it, and what breaks it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from requirements import need_root
from traces import allow_all_users, environment

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace import seal, signing_key
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.seal import is_made_here
from slimtrace.tracer.trace.trace import DriveOptions, Run
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = Run(
    *(("app", "arg"), "/srv", "1:2", {"PATH": "/bin"}, "oci:/full", f"sha256:{'1' * 64}"),
    *("2026", "x86_64", "notify", "SIGINT"),
    volumes=("/data",),
    before={"/data": "/x.d/copy"},
    cap_add=("NET_ADMIN",),
    mounts=("/home:/data:ro",),
    network="none",
    hostname="host",
    drive_options=DriveOptions(
        "tcp:80", http_get=("/",), commands=("true",), inside=(("a", "\udcff"),), stop_after=0.1
    ),
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    signing_key.load_key.cache_clear()
    yield tmp_path / "state"
    signing_key.load_key.cache_clear()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    writer = TraceWriter(str(path))
    writer.write_run(RUN)
    writer.begin()
    writer.close()
    return path


def is_ours(trace: Path) -> bool:
    """Whether a new process would take it for its user's."""
    signing_key.load_key.cache_clear()
    (run,) = read_trace(str(trace)).runs
    return is_made_here(run)


def change(trace: Path, edit: Any) -> None:
    header, line, *rest = trace.read_bytes().split(b"\n")
    run = orjson.loads(line)
    edit(run["run"])
    trace.write_bytes(b"\n".join((header, orjson.dumps(run), *rest)))


def find_leaves(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from find_leaves(item, *path, key)
        else:
            yield (*path, key)


def test_what_was_written_here(trace: Path) -> None:
    assert is_ours(trace)
    change(trace, lambda run: run.update(dict(reversed([*run.items()]))))
    assert is_ours(trace), "the order of the keys says nothing"


def test_any_change_breaks_it(trace: Path) -> None:
    before = trace.read_bytes()
    run = orjson.loads(before.split(b"\n")[1])["run"]
    leaves = [*find_leaves(run)]
    assert ("driving", "exec", 0) in leaves
    assert ("mounts", 0) in leaves
    assert ("before", 0, "blob") in leaves  # merge gives it another name
    for *above, last in leaves:
        if last == "blob":
            continue

        def edit(run: dict[str, Any], above: list[Any] = above, last: Any = last) -> None:
            place: Any = run
            for key in above:
                place = place[key]
            place[last] = {None: "SIGHUP"}.get(place[last]) or (
                place[last] + 1 if isinstance(place[last], float) else "YWJj"
            )

        trace.write_bytes(before)
        change(trace, edit)
        with suppress(TraceFileError):  # the reader may refuse the value
            assert not is_ours(trace), (*above, last)


@pytest.mark.parametrize("value", [None, 3, "", "é", "0" * 64])
def test_what_is_no_seal(trace: Path, value: object) -> None:
    change(trace, lambda run: run.update(seal=value))
    assert not is_ours(trace)
    change(trace, lambda run: run.pop("seal"))
    assert not is_ours(trace)


def test_an_added_mount(trace: Path) -> None:
    change(trace, lambda run: run["mounts"].append("/etc:/x"))
    assert not is_ours(trace)


def test_another_user_or_machine(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    with monkeypatch.context() as changed:
        changed.setattr(seal, "_MACHINE_ID", str(tmp_path / "machine-id"))
        assert not is_ours(trace)
    assert is_ours(trace)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert not is_ours(trace)


def test_the_key_is_a_secret(state: Path) -> None:
    os.umask(os.umask(0))
    key = signing_key.load_key()
    path = state / "slimtrace/trace.key"
    assert os.listdir(path.parent) == ["trace.key"]
    assert (path.read_bytes(), len(key)) == (key, signing_key.KEY_BYTES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_make_it_together_agree(state: Path) -> None:
    script = "from slimtrace.tracer.trace.signing_key import load_key; print(load_key().hex())"

    def load(_: int) -> bytes:
        argv = [sys.executable, "-c", script]
        return subprocess.run(argv, check=True, capture_output=True, env=environment()).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len({*pool.map(load, range(4))}) == 1
    assert os.listdir(state / "slimtrace") == ["trace.key"]


@pytest.mark.parametrize("kind", ["readable", "short", "a link", "a folder", "another's"])
def test_a_key_that_another_may_know_is_not_used(trace: Path, state: Path, kind: str) -> None:
    """It is not replaced either; the process has a key of its own."""
    path = state / "slimtrace/trace.key"
    match kind:
        case "readable":
            path.chmod(0o640)
        case "short":
            path.write_bytes(b"1")
        case "a link":
            path.rename(path.with_name("real"))
            path.symlink_to("real")
        case "a folder":
            path.unlink()
            path.mkdir()
        case "another's":
            need_root()
            os.chown(path, 65534, -1)
    before = path.lstat()
    assert not is_ours(trace)
    after = path.lstat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert signing_key.load_key() == signing_key.load_key(), "one for all of this process"


def test_without_a_place_for_it(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process knows its own traces; another does not."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    assert not is_ours(trace)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)  # it has no account
    for home in ("/nonexistent", "relative", ""):
        monkeypatch.setenv("HOME", home)
        monkeypatch.setenv("XDG_STATE_HOME", "")
        assert signing_key.find_state_folder() is None


def test_the_home_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sudo`` may leave it in HOME."""
    need_root()
    allow_all_users(tmp_path)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert signing_key.find_state_folder() == f"{tmp_path}/home/.local/state/slimtrace"
    os.chown(tmp_path / "home", 65534, -1)
    assert signing_key.find_state_folder() == "/root/.local/state/slimtrace"
