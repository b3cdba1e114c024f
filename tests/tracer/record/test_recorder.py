"""The recorder: facts about a run, and their lines in the trace."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from traces import make_tree

from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.record.repeats import MAX_GAPS_OF_A_KIND
from slimtrace.tracer.trace.trace import ListeningPort, PathState, Run, State, Use
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = Run(("app",), "/", "0:0", {}, "rootfs:/", None, "", "x86_64", "notify")
FILE = PathState(b"/file", State.FILE, os.stat("/"))
OTHER = PathState(b"/other", State.MISSING, None)
READ = (Use.READ, FILE)
STAT = (Use.STAT, FILE)


@dataclass
class Recording:
    """A recorder and its trace."""

    recorder: Recorder
    trace: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines after the first ones, without times and stats."""
        found = [json.loads(line) for line in self.trace.read_bytes().splitlines()[3:]]
        for line in found:
            line.pop("t", None)
            line.pop("stat", None)
            line.pop("blob", None)
        return found

    def touches(self) -> list[tuple[int, str, str]]:
        return [(line["p"], line["use"], line["path"]) for line in self.lines() if "use" in line]

    def saved(self) -> list[str]:
        return [os.path.basename(line["save"]) for line in self.lines() if "save" in line]


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    """Make a recorder that knows one process image, 1."""
    writer = TraceWriter(str(tmp_path / "x.trace"))
    writer.write_run(RUN)
    recorder = Recorder(writer, 0, 1)
    recorder.record_process(None, "/app", ("app",))
    yield Recording(recorder, tmp_path / "x.trace")
    writer.close()


# Touches


def test_a_touch_is_written_once_for_each_process_image(recording: Recording) -> None:
    recorder = recording.recorder
    recorder.record_touches(1, [READ, READ, STAT])
    recorder.record_touches(1, [READ])
    recorder.record_touches(2, [READ])
    recorder.record_touches(1, [(Use.READ, FILE._replace(state=State.CREATED))])
    assert recording.touches() == [
        (1, "read", "/file"),
        (1, "stat", "/file"),
        (2, "read", "/file"),
        (1, "read", "/file"),
    ]
    assert recorder.files == 1


def test_the_touches_of_one_call_of_several_process_images(recording: Recording) -> None:
    recorder, shared = recording.recorder, [READ, (Use.STAT, OTHER)]
    for process in (1, 2, 3):
        recorder.queue_shared_touches(process, shared)
    recorder.flush()
    assert recording.touches() == [
        (process, *of) for process in (1, 2, 3) for of in (("read", "/file"), ("stat", "/other"))
    ]


def test_deferred_lines_keep_their_order(recording: Recording) -> None:
    recorder = recording.recorder
    recorder.queue_touches(1, [READ])
    recorder.queue_shared_touches(1, [STAT])
    recorder.queue_exit(1, 3)
    assert recording.lines() == []
    recorder.record_touches(2, [READ])
    assert [next(iter(line.items())) for line in recording.lines()] == [
        ("p", 1),
        ("p", 1),
        ("exit", 1),
        ("p", 2),
    ]


@pytest.mark.parametrize(
    ("ending", "expected"),
    [("", 0), (".d", 0), (".d/blob", 0), (".d2", 1), (".db/x", 1), ("x", 1)],
)
def test_the_trace_itself_is_not_recorded(recording: Recording, ending: str, expected: int) -> None:
    path = os.fsencode(recording.trace) + ending.encode()
    touches = [(Use.READ, PathState(path, State.MISSING, None))]
    recording.recorder.record_touches(1, touches)
    recording.recorder.queue_shared_touches(2, touches)
    recording.recorder.flush()
    assert len(recording.touches()) == 2 * expected


# Facts about the run


def test_facts_are_written_once(recording: Recording) -> None:
    recorder = recording.recorder
    tcp, udp = ListeningPort("tcp", 80), ListeningPort("udp", 53)
    assert recorder.find_first_port() is None
    for _ in range(2):
        recorder.record_syscall("open")
        recorder.record_argument("socket", 1)
        recorder.record_argument("socket", 2)
        recorder.record_narrow_call()
        recorder.record_listening_port(udp)
        recorder.record_listening_port(tcp)
        recorder.record_gap("setuid", "/su")
    recorder.record_counts({"open": 2, "stat": 1})
    assert recorder.find_first_port() == 80
    assert recording.lines() == [
        {"syscall": "open"},
        {"argument": "socket", "value": 1},
        {"argument": "socket", "value": 2},
        {"narrow": True},
        {"listen": "udp", "port": 53},
        {"listen": "tcp", "port": 80},
        {"gap": "setuid", "detail": "/su"},
        {"syscall": "stat"},
        {"counts": {"open": 2, "stat": 1}},
    ]


@pytest.mark.parametrize(
    ("kind", "complete"), [("setuid", False), ("io-uring-refused", True), ("never heard of", False)]
)
def test_a_gap_that_loses_files(recording: Recording, kind: str, complete: bool) -> None:
    assert recording.recorder.complete
    recording.recorder.record_gap(kind, "why")
    recording.recorder.record_gap("io-uring-refused", "another")
    assert recording.recorder.complete is complete


def test_gaps_do_not_fill_the_disk(recording: Recording) -> None:
    for number in range(MAX_GAPS_OF_A_KIND + 5):
        recording.recorder.record_gap("by-handle", f"{number}")
    recording.recorder.record_gap("setuid", "another kind")
    assert recording.recorder.gaps == {"by-handle": MAX_GAPS_OF_A_KIND, "setuid": 1}
    assert len(recording.lines()) == MAX_GAPS_OF_A_KIND + 1


# Saved files


@pytest.fixture
def folder(tmp_path: Path) -> bytes:
    tree = {"file": "old", "link": "-> file", "sub/inner": "2", "sub/deep/er": "3"}
    return os.fsencode(make_tree(str(tmp_path / "work"), tree))


def look(recording: Recording, path: bytes) -> PathState:
    return PathState(path, *recording.recorder.history.look_up_state(path, follow=False))


@pytest.mark.parametrize(
    ("path", "deep", "expected"),
    [
        (b"/file", True, ["file"]),
        (b"/link", True, ["link"]),
        (b"/sub", True, ["deep", "er", "inner", "sub"]),
        (b"/sub", False, ["sub"]),
        (b"/none", True, []),
    ],
)
def test_files_that_are_saved(
    recording: Recording, folder: bytes, path: bytes, deep: bool, expected: list[str]
) -> None:
    for _ in range(2):
        recording.recorder.save_copy(folder + path, deep=deep)
    assert sorted(recording.saved()) == expected
    assert recording.recorder.complete


def test_a_copy_has_the_old_content(recording: Recording, folder: bytes) -> None:
    recording.recorder.save_copy(folder + b"/file")
    (copy,) = os.listdir(f"{recording.trace}.d")
    with open(f"{recording.trace}.d/{copy}") as file:
        assert file.read() == "old"


def test_files_that_the_run_created_are_not_saved(recording: Recording, folder: bytes) -> None:
    history = recording.recorder.history
    history.create(folder + b"/new")
    with open(folder + b"/new", "w"):
        pass
    assert look(recording, folder + b"/new").state is State.CREATED
    recording.recorder.save_copy(folder + b"/new")
    assert recording.saved() == []


def test_a_file_with_several_names_is_saved_under_each(recording: Recording, folder: bytes) -> None:
    """One name is known before, one becomes known later, and the third is never used."""
    before, changed, later = (folder + name for name in (b"/1", b"/2", b"/3"))
    for name in (before, changed, later, folder + b"/4"):
        os.link(folder + b"/file", name)
    recording.recorder.record_touches(1, [(Use.READ, look(recording, before))])
    recording.recorder.save_copy(changed)
    recording.recorder.record_touches(1, [(Use.READ, look(recording, later))])
    assert recording.saved() == ["2", "1", "3"]


def test_a_file_that_cannot_be_saved_is_a_gap(recording: Recording, folder: bytes) -> None:
    """The directory for copies cannot be created."""
    os.symlink("/nowhere", f"{recording.trace}.d")
    recording.recorder.save_copy(folder + b"/file")
    assert recording.recorder.gaps == {"not-put-aside": 1}
    assert not recording.recorder.complete


# Files that the run created


def test_a_file_of_the_run_under_another_path(recording: Recording, folder: bytes) -> None:
    history = recording.recorder.history
    os.symlink("sub", folder + b"/way")
    os.symlink("way", folder + b"/detour")
    history.create(folder + b"/way/new")
    with open(folder + b"/sub/new", "w"):
        pass
    for path, state in (
        (b"/way/new", State.CREATED),
        (b"/sub/new", State.CREATED),
        (b"/detour/new", State.CREATED),
        (b"/sub/inner", State.FILE),
        (b"/way/inner", State.FILE),
        (b"/sub/none", State.MISSING),
    ):
        assert look(recording, folder + path).state is state, path


def test_a_moved_directory(recording: Recording, folder: bytes) -> None:
    history = recording.recorder.history
    old, new = folder + b"/sub", folder + b"/new"
    assert history.move(look(recording, old), new) is False
    os.rename(old, new)
    assert history.has_moves
    assert history.find_origin(new + b"/inner") == old + b"/inner"
    assert history.move(look(recording, new), old) is True
    os.rename(new, old)
    assert history.find_origin(old + b"/inner") is None
    assert look(recording, old).state is State.FILE
