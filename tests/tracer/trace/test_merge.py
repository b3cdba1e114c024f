"""``slimtrace merge``: one trace with the content of several."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from traces import check_failure, make_tree, run_slimtrace

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.merge import merge_traces
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from slimtrace.tracer.trace.trace import Trace

HEADER = {"slimtrace": 1, "version": "0"}
STAT = [33188, 0, 0, 3, 4]
END = {"end": {"seconds": 1.0, "exit_status": 0, "signal": None, "complete": True}}


def start_lines(image: str = "rootfs:/", digest: str | None = None) -> dict[str, Any]:
    about = {"command": ["a"], "cwd": "/", "user": "0:0", "env": {}, "image": image}
    rest = {"image_digest": digest, "started": "", "machine": "", "engine": ""}
    return {"run": {**about, **rest}}


def write(path: Path, lines: list[dict[str, Any]], end: bytes = b"") -> str:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in [HEADER, *lines]) + end)
    return str(path)


def read_content(trace: Trace) -> tuple[Trace, dict[str, bytes]]:
    """Return the trace without the paths of saved copies, and the copies' content."""
    saved = {path: replace(item, blob="") for path, item in trace.saved.items()}
    contents = {path: Path(item.blob).read_bytes() for path, item in trace.saved.items()}
    return replace(trace, saved=saved), contents


names = some.sampled_from(["/a", "/b", "/c/d"])
idents = some.integers(1, 3)
things = some.one_of(
    some.builds(
        lambda p, path, was, use: {
            "use": use,
            "t": 0.5,
            "p": p,
            "path": path,
            "was": was,
            **({"stat": STAT} if was == "file" else {}),
        },
        idents,
        names,
        some.sampled_from(["file", "missing", "created"]),
        some.sampled_from(["read", "stat", "write"]),
    ),
    some.builds(lambda i: {"exit": i, "status": 3}, idents),
    some.builds(
        lambda path, blob: {"save": path, "blob": blob, "stat": STAT},
        names,
        names.map(lambda name: name.replace("/", "_")),
    ),
    some.builds(lambda name: {"healed": name}, names),
    some.builds(lambda name: {"jvm": name, "modules": ["java.base", name], "of": 0}, names),
    some.builds(lambda port: {"listen": "tcp", "port": port}, idents),
    some.builds(lambda name: {"syscall": name}, some.sampled_from(["open", "stat"])),
    some.just({"gap": "io-uring-refused", "detail": "x"}),
    some.builds(lambda n: {"counts": {"open": n}}, idents),
)


@some.composite
def files(draw: some.DrawFn) -> tuple[list[dict[str, Any]], bytes]:
    lines: list[dict[str, Any]] = []
    for number in range(draw(some.integers(0, 2))):
        lines.append(start_lines())
        if number == 0:
            born = {"exe": "/a", "argv": ["a"]}
            lines += [{"process": n, "parent": n - 1 or None, **born} for n in (1, 2, 3)]
        lines += draw(some.lists(things, max_size=5))
        lines += draw(some.sampled_from([[END], []]))
    return lines, draw(some.sampled_from([b"", b'{"use":"re']))


@settings(max_examples=150, deadline=None, database=None)
@given(some.lists(files(), min_size=1, max_size=3), some.booleans())
def test_a_merged_trace_reads_as_its_parts_do(
    parts: list[tuple[list[dict[str, Any]], bytes]], onto_itself: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (lines, end) in enumerate(parts):
            paths.append(write(Path(folder, str(number)), lines, end))
            for line in lines:
                if "blob" in line:
                    os.makedirs(f"{paths[-1]}.d", exist_ok=True)
                    Path(f"{paths[-1]}.d", line["blob"]).write_text(f"{number}{line['blob']}")
        expected = read_content(read_trace(paths))
        to = paths[0] if onto_itself else f"{folder}/all"
        merge_traces(paths, to, force=onto_itself)
        assert read_content(read_trace(to)) == expected
        assert not [name for name in os.listdir(folder) if "tmp" in name]


def test_real_traces(tmp_path: Path) -> None:
    work = make_tree(str(tmp_path / "work"), {"a": "first", "b": "second"})
    for number, name in enumerate("ab"):
        script = f"cat {name}; echo more > {name}"
        done = run_slimtrace("-q", "run", "-o", f"../{number}", "--", "sh", "-c", script, cwd=work)
        assert done.returncode == 0, done.stderr
    paths = [str(tmp_path / "0"), str(tmp_path / "1")]
    cut = Path(paths[1]).read_bytes().rpartition(b'{"end"')[0]
    Path(paths[1]).write_bytes(cut + b'{"use":')
    expected = read_content(read_trace(paths))
    assert set(expected[1].values()) == {b"first", b"second"}
    done = run_slimtrace("merge", *paths, "-o", "all", cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "slimtrace: wrote all: 2 runs\n")
    merged = read_trace(str(tmp_path / "all"))
    assert read_content(merged) == expected
    assert [run.gaps[-1].kind if run.gaps else None for run in merged.runs] == [None, "interrupted"]
    done = run_slimtrace("merge", paths[0], "-o", "all", cwd=str(tmp_path))
    check_failure(done, 125, "cannot write all: it exists", "add --force to replace it")
    done = run_slimtrace("-q", "merge", "all", paths[0], "-o", "all", "--force", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(read_trace(str(tmp_path / "all")).runs) == 3


def touched(path: str, size: int) -> dict[str, Any]:
    stat = [33188, 0, 0, size, 4]
    return {"use": "read", "t": 0, "p": 1, "path": path, "was": "file", "stat": stat}


ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ([start_lines("oci:/a", ONE)], [start_lines("oci:/b", ONE)], None),
        (
            [start_lines("oci:/a", ONE)],
            [start_lines("oci:/a", TWO)],
            f"oci:/a ({ONE}) and oci:/a ({TWO})",
        ),
        ([start_lines("rootfs:/")], [start_lines("rootfs:/b")], "rootfs:/ and rootfs:/b"),
        (
            [start_lines(), touched("/l.so.1", 1)],
            [start_lines(), touched("/l.so.1", 2)],
            "/l.so.1 is another",
        ),
        ([start_lines(), touched("/l.so.1", 1)], [start_lines(), touched("/l.so.2", 2)], None),
        ([start_lines(), touched("/data", 1)], [start_lines(), touched("/data", 2)], None),
    ],
)
def test_traces_of_different_images(
    tmp_path: Path,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    cause: str | None,
) -> None:
    paths = [write(tmp_path / "a", first), write(tmp_path / "b", second)]
    to = str(tmp_path / "all")
    if cause is not None:
        with pytest.raises(TraceFileError) as error:
            merge_traces(paths, to)
        assert cause in error.value.message
        assert "--different-images" in str(error.value.hint)
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    merge_traces(paths, to, different_images=cause is not None)
    assert read_trace(to) == read_trace(paths)


def test_a_failure_keeps_the_files(tmp_path: Path) -> None:
    good = write(tmp_path / "a", [start_lines(), END])
    before = Path(good).read_bytes()
    bad = write(tmp_path / "b", [start_lines(), {"exit": 9, "status": 0}])
    with pytest.raises(TraceFileError, match="line 3 is damaged"):
        merge_traces([good, bad], good, force=True)
    assert Path(good).read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
