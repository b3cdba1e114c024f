"""A trace file is read, or refused with a message, even if it is damaged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from example_trace import EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as some

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.syscalls.classes import HOT
from slimtrace.tracer.trace.append import append_healed, append_modules
from slimtrace.tracer.trace.document import make_document
from slimtrace.tracer.trace.drive_steps import StepKind
from slimtrace.tracer.trace.http_request import HttpRequest
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.text_fields import get, get_list, put, put_list
from slimtrace.tracer.trace.trace import (
    DriveOptions,
    DriveResult,
    Fingerprint,
    Gap,
    ListeningPort,
    Response,
    Run,
    SavedFile,
    State,
    StdinKind,
    Use,
)
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from pathlib import Path

NOT_UTF8 = os.fsdecode(b"/n\xff\xfet")
names = some.binary(max_size=40).map(os.fsdecode)


def test_a_line_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "x.trace").write_bytes(EXAMPLE)
    trace = read_trace(str(tmp_path / "x.trace"))
    (run,) = trace.runs
    assert (run.command, run.cwd, run.user, run.env) == (("app",), "/work", "1:2", {"PATH": "/bin"})
    assert (run.seconds, run.exit_status, run.signal, run.complete) == (0.8, 9, None, True)
    assert (run.mounts, run.network, run.hostname) == (("/srv:/data:ro",), "none", "h")
    assert run.before == {"/data": f"{tmp_path}/x.trace.d/before-1"}
    assert (run.cap_add, run.stdin) == (("NET_RAW",), StdinKind.PIPE)
    assert run.drive_options == DriveOptions(
        ready="log:up",
        ready_status="2xx",
        ready_timeout=5,
        http_get=("/",),
        commands=("true",),
        inside=(("a", "b"),),
        exec_timeout=7.5,
        stop_after=1,
        stop_signal="SIGHUP",
        stop_grace=3,
        directory="/work",
        http_status="200-499",  # an older trace
    )
    assert run.drive_result == DriveResult(
        0.25, (Response("GET /", 200), Response("true", None)), "cannot", stopped=None
    )
    assert trace.healed == ("/late", NOT_UTF8)
    assert run.gaps == (Gap("io-uring-refused", "why"),)
    assert run.modules == {"/jdk": ("java.base", "java.sql")}
    assert [(image.id, image.parent, image.argv) for image in trace.processes] == [
        (1, None, ("app",)),
        (2, 1, (NOT_UTF8,)),
    ]
    assert [image.exit_status for image in trace.processes] == [None, 9]
    fingerprint = Fingerprint(33188, 1, 2, 3, 4)
    assert {
        (path.path, path.state, *path.uses, path.fingerprint) for path in trace.paths.values()
    } == {
        ("/file", State.FILE, Use.READ, fingerprint),
        (NOT_UTF8, State.MISSING, Use.STAT, None),
        ("/new", State.CREATED, Use.CREATE, None),
    }
    assert trace.saved == {"/file": SavedFile("/file", f"{tmp_path}/x.trace.d/abc", fingerprint)}
    assert trace.observed_syscalls == ("openat",)
    assert (trace.arguments, trace.is_narrow) == ({"socket": (2, 10)}, True)
    assert trace.listening == (ListeningPort("tcp", 8080),)


def test_older_lines_have_no_driving(tmp_path: Path) -> None:
    about = """\
{"slimtrace":1,"version":"0"}
{"run":{"command":["app"],"cwd":"/","user":"1:2","env":{},"image":"rootfs:/","image_digest":null,\
"started":"","machine":"","engine":""}}
"""
    (tmp_path / "x").write_text(about)
    trace = read_trace(str(tmp_path / "x"))
    (run,) = trace.runs
    assert (run.mounts, run.network, run.hostname) == ((), "host", None)
    assert (run.drive_options, run.drive_result, trace.healed) == (None, None, ())


REQUEST = HttpRequest(
    "POST", "/a", (("A", NOT_UTF8),), NOT_UTF8, "made", ("$env B",), is_optional=True
)


@pytest.mark.parametrize(
    "driving",
    [
        DriveOptions(),
        DriveOptions(ready=f"file:{NOT_UTF8}", http_get=("/a", NOT_UTF8), commands=(NOT_UTF8,)),
        DriveOptions(inside=(("a",), ("b", NOT_UTF8)), stop_after=0.5, stop_signal="SIGINT"),
        DriveOptions(commands=("true",), directory=NOT_UTF8),
        DriveOptions(ready="log:x", ready_count=2, http_get=("/",), http_status="2xx,404"),
        DriveOptions(requests=(REQUEST, HttpRequest()), crawl=0, http_headers=("A: b",)),
        DriveOptions(
            http_get=("/a", "/b"),
            requests=(REQUEST,),
            documents=("/api.json",),
            commands=("true",),
            order=(*map(StepKind, ("http_get", "exec", "request", "openapi", "http_get")),),
        ),
    ],
)
def test_the_fields_of_driving_are_read_back(tmp_path: Path, driving: DriveOptions) -> None:
    found = Response("GET /b", 200, REQUEST)
    answers = (Response("GET /a", 404), found, Response(NOT_UTF8, None))
    driven = DriveResult(1.5, answers, stopped=True, unrequested=("/c", NOT_UTF8))
    about = Run(
        *(("app",), "/", "0:0", {}, "rootfs:/x", None, "now", "x86_64", "notify"),
        mounts=("/a:/b",),
        before={"/b": f"{tmp_path}/x.d/before-1"},
        cap_add=("NET_RAW",),
        network="none",
        hostname="h",
        drive_options=driving,
    )
    writer = TraceWriter(str(tmp_path / "x"))
    writer.write_run(about)
    writer.begin()
    writer.write_drive_result(driven)
    writer.write_end(about)
    writer.close()
    (run,) = read_trace(str(tmp_path / "x")).runs
    assert run == replace(about, drive_result=driven)


def test_an_unknown_signal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(EXAMPLE.replace(b"SIGHUP", b"SIGNOT"))
    with pytest.raises(TraceFileError, match=r"line 2 is damaged .*'SIGNOT' is not a signal"):
        read_trace(str(tmp_path / "x"))


def test_healed_paths_are_added(tmp_path: Path) -> None:
    """They follow complete lines: an incomplete last line of a killed tracer is removed first."""
    path = tmp_path / "x"
    path.write_bytes(EXAMPLE + b'{"use":"re')
    append_healed(str(path), ["/b", NOT_UTF8, "/a"])
    append_healed(str(path), ["/c"])
    assert path.read_bytes().startswith(EXAMPLE + b'{"healed":"/b"}\n')
    trace = read_trace(str(path))
    assert trace.healed == ("/a", "/b", "/c", "/late", NOT_UTF8)
    assert make_document(trace, HOT)["healed_b64"]
    path.write_bytes(EXAMPLE.replace(b'{"healed_b64":"L27//nQ="}\n', b""))
    assert make_document(read_trace(str(path)), HOT)["healed"] == ["/late"]


def test_modules_are_added_to_the_run_that_used_them(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(EXAMPLE)
    two.write_bytes(EXAMPLE + EXAMPLE.partition(b"\n")[2])
    append_modules(str(two), 1, {NOT_UTF8: ["jdk.zipfs"], "/jdk": ["java.xml", "java.sql"]})
    trace = read_trace([str(one), str(two)])
    assert [run.modules for run in trace.runs] == [
        {"/jdk": ("java.base", "java.sql")},
        {"/jdk": ("java.base", "java.sql")},
        {"/jdk": ("java.sql", "java.xml"), NOT_UTF8: ("jdk.zipfs",)},
    ]
    assert make_document(trace, HOT)["runs"][2]["jvms"] == [
        {"home": "/jdk", "modules": ["java.sql", "java.xml"]},
        {"home_b64": "L27//nQ=", "modules": ["jdk.zipfs"]},
    ]


@pytest.mark.parametrize("of", ["1", "-1", "true", '"0"', "null"])
def test_modules_of_an_unknown_run(tmp_path: Path, of: str) -> None:
    line = f'{{"jvm":"/jdk","modules":[],"of":{of}}}\n'
    (tmp_path / "x").write_bytes(EXAMPLE + line.encode())
    with pytest.raises(TraceFileError, match="line 22 is damaged"):
        read_trace(str(tmp_path / "x"))


def test_traces_that_cannot_be_healed(tmp_path: Path) -> None:
    trace, text, empty = (tmp_path / name for name in ("trace", "text", "empty"))
    trace.write_bytes(EXAMPLE)
    text.write_text("no trace")
    empty.touch()
    for path, cause in (
        (text, "it is not a slimtrace trace"),
        (empty, "it is empty"),
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(TraceFileError, match=cause):
            append_healed(str(path), ["/a"])
    with open(trace) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TraceFileError, match="another slimtrace is writing it"):
            append_healed(str(trace), ["/a"])
    resource.prlimit(0, resource.RLIMIT_FSIZE, (trace.stat().st_size + 5, -1))
    try:
        with pytest.raises(TraceFileError, match=r"cannot write .*: (the disk is full|File too)"):
            append_healed(str(trace), ["/a", "/b"])
    finally:
        resource.prlimit(0, resource.RLIMIT_FSIZE, (-1, -1))
    assert (trace.read_bytes(), text.read_text(), empty.read_text()) == (EXAMPLE, "no trace", "")


def test_traces_are_merged_in_the_given_order(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(EXAMPLE)
    trace = read_trace([str(tmp_path / "x"), str(tmp_path / "y")])
    assert len(trace.runs) == 2
    assert [(image.id, image.parent, image.run) for image in trace.processes] == [
        (1, None, 0),
        (2, 1, 0),
        (3, None, 1),
        (4, 3, 1),
    ]
    assert trace.paths["/file"].processes == (1, 3)
    assert trace.saved["/file"].blob == f"{tmp_path}/x.d/abc", "the first copy must be the oldest"


@settings(max_examples=400, deadline=None, database=None)
@given(
    some.lists(
        some.tuples(some.integers(0, len(EXAMPLE)), some.integers(0, 40), some.binary(max_size=40)),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_bytes_are_refused_with_a_message(damage: list[tuple[int, int, bytes]]) -> None:
    content = bytearray(EXAMPLE)
    for position, length, others in damage:
        content[position : position + length] = others
    _reads_or_is_refused(bytes(content))


json_values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None, database=None)
@given(some.integers(1, EXAMPLE.count(b"\n") - 1), some.data())
def test_a_line_with_another_value_is_refused_with_a_message(
    number: int, data: some.DataObject
) -> None:
    lines = EXAMPLE.splitlines(keepends=True)
    line = orjson.loads(lines[number])
    inner = line[next(iter(line))]
    where = inner if isinstance(inner, dict) and data.draw(some.booleans()) else line
    where[data.draw(some.sampled_from(sorted(where)))] = data.draw(json_values)
    lines[number] = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    _reads_or_is_refused(b"".join(lines))


@settings(database=None)
@given(some.lists(names, min_size=1))
def test_any_bytes_survive(words: list[str]) -> None:
    line = orjson.loads(orjson.dumps({**put("name", words[0]), **put_list("words", words)}))
    assert get(line, "name") == words[0]
    assert get_list(line, "words") == tuple(words)


def _reads_or_is_refused(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(TraceFileError):
            orjson.dumps(make_document(read_trace(file.name), HOT))
