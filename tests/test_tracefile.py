"""A trace reads or is refused in words, whatever became of its bytes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

import orjson
from hypothesis import given, settings
from hypothesis import strategies as some

from tracer.errors import TraceFileError
from tracer.model import Fingerprint, Gap, Listening, SavedFile, State, Use
from tracer.tracefile.document import document
from tracer.tracefile.reader import read_trace
from tracer.tracefile.text import get, get_list, put, put_list

if TYPE_CHECKING:
    from pathlib import Path

NOT_UTF8 = os.fsdecode(b"/n\xff\xfet")
WHOLE = b"""\
{"slimtrace":1,"version":"0"}
{"run":{"command":["app"],"cwd":"/work","user":"1:2","env":{"PATH":"/bin"},"image":"rootfs:/",\
"image_digest":null,"started":"2024-01-01T00:00:00Z","machine":"x86_64","engine":"notify"}}
{"process":1,"parent":null,"exe":"/bin/app","argv":["app"]}
{"process":2,"parent":1,"exe":"/bin/other","argv_b64":["L27//nQ="]}
{"use":"read","t":0.5,"p":1,"path":"/file","was":"file","stat":[33188,1,2,3,4]}
{"use":"stat","t":0.6,"p":2,"path_b64":"L27//nQ=","was":"missing"}
{"use":"create","t":0.7,"p":2,"path":"/new","was":"created"}
{"save":"/file","blob":"abc","stat":[33188,1,2,3,4]}
{"syscall":"openat"}
{"listen":"tcp","port":8080}
{"gap":"io-uring-refused","detail":"why"}
{"exit":2,"status":9}
{"end":{"seconds":0.8,"exit_status":9,"signal":null,"complete":true}}
"""
names = some.binary(max_size=40).map(os.fsdecode)


def test_a_line_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "x.trace").write_bytes(WHOLE)
    trace = read_trace(str(tmp_path / "x.trace"))
    (run,) = trace.runs
    assert (run.command, run.cwd, run.user, run.env) == (("app",), "/work", "1:2", {"PATH": "/bin"})
    assert (run.seconds, run.exit_status, run.signal, run.complete) == (0.8, 9, None, True)
    assert run.gaps == (Gap("io-uring-refused", "why"),)
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
    assert trace.listening == (Listening("tcp", 8080),)


def test_traces_are_united_in_the_order_given(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(WHOLE)
    trace = read_trace([str(tmp_path / "x"), str(tmp_path / "y")])
    assert len(trace.runs) == 2
    assert [(image.id, image.parent, image.run) for image in trace.processes] == [
        (1, None, 0),
        (2, 1, 0),
        (3, None, 1),
        (4, 3, 1),
    ]
    assert trace.paths["/file"].processes == (1, 3)
    assert trace.saved["/file"].blob == f"{tmp_path}/x.d/abc", "the first copy is the oldest"


@settings(max_examples=400, deadline=None, database=None)
@given(
    some.lists(
        some.tuples(some.integers(0, len(WHOLE)), some.integers(0, 40), some.binary(max_size=40)),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_bytes_are_refused_in_words(damage: list[tuple[int, int, bytes]]) -> None:
    content = bytearray(WHOLE)
    for place, length, others in damage:
        content[place : place + length] = others
    _reads_or_is_refused(bytes(content))


json_values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None, database=None)
@given(some.integers(1, WHOLE.count(b"\n") - 1), some.data())
def test_a_line_with_another_value_is_refused_in_words(number: int, data: some.DataObject) -> None:
    lines = WHOLE.splitlines(keepends=True)
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
            orjson.dumps(document(read_trace(file.name)))
