"""Several names of one file: links, moves and exchanges that the run itself makes."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace, Tracee

TREE = {"f": "old", "d/f": "old", "d/g": "old"}


@pytest.mark.parametrize(
    ("script", "expected", "saved"),
    [
        (
            "ln -s $PWD/f link; echo x >link",
            {"f": "file write", "link": "created create write"},
            {"f"},
        ),
        (
            "ln -s $PWD/d link; echo x >link/f; rm link/g",
            {
                "d/f": "file write",
                "d/g": "file delete stat",
                "link": "created create",
                "link/f": "created write",
                "link/g": "created delete stat",
            },
            {"d/f", "d/g"},
        ),
        ("ln f name; echo x >name", {"f": "file stat", "name": "created create write"}, {"f"}),
        (
            "echo 1 >name; echo 2 >name; rm name; ln f name; echo x >name",
            {"f": "file stat", "name": "created create delete write"},
            {"f"},
        ),
        (
            "mv d away; mv away d; cat d/f",
            {
                "d": "file delete stat write",
                "d/f": "file read",
                "away": "created create delete stat",
            },
            {"d", "d/f", "d/g"},
        ),
        (
            "mv d away; rm -r away; mkdir away; echo n >away/new; cat away/new",
            {
                "away": "created create delete list stat",
                "away/f": "created delete",
                "away/g": "created delete",
                "away/new": "created create read write",
                "d": "file delete list stat",
                "d/f": "file delete",
                "d/g": "file delete",
            },
            {"d", "d/f", "d/g"},
        ),
    ],
    ids=[
        "through a link",
        "below a link",
        "by a hard link",
        "by a name used before",
        "moved and moved back",
        "removed and made again",
    ],
)
def test_links(traced: Trace, script: str, expected: dict[str, str], saved: set[str]) -> None:
    run = traced(["sh", "-c", script], tree=TREE)
    assert run.status == 0, run.stderr
    # Versions of coreutils differ in stat(2) calls and listings; the other uses must agree.
    touches = {path: set(line.split()) for path, line in run.touches().items()}
    for path, line in expected.items():
        assert path in touches, (path, touches)
        assert set(line.split()) - {"stat", "list"} <= touches[path], (path, touches[path])
    assert touches.keys() == expected.keys()
    assert saved == {os.path.relpath(path, run.directory) for path in read_saved_paths(run.trace)}


def read_saved_paths(trace: str) -> set[str]:
    return set(read_trace(trace).saved)


def test_a_file_made_through_a_dangling_link(traced: Trace) -> None:
    run = traced(["sh", "-c", "echo x >link; cat sub/new"], tree={"sub/": "", "link": "-> sub/new"})
    assert run.touches() == {"link": "file readlink", "sub/new": "created create read write"}


def test_a_name_that_starts_with_the_name_of_the_trace(traced: Trace) -> None:
    run = traced(["cat", "../app.traces", "../app.trace.d2"], tree={"../app.traces": "1"})
    assert {os.path.basename(path) for path in run.paths("file")} >= {"app.traces"}


def test_a_parent_that_is_killed_while_it_forks(traced: Trace, tracee: Tracee) -> None:
    """No event reports the start of such a child; the child must not wait for one forever."""
    run = traced([tracee("fork_killed"), "100"])
    assert run.status == 0, run.stderr


def test_an_exec_of_a_fifo(traced: Trace, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    os.mkfifo(tmp_path / "work/fifo", 0o777)
    run = traced(["sh", "-c", "./fifo; echo after"])
    assert run.stdout == "after\n"


def test_an_exec_of_a_broken_program(traced: Trace, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    broken = tmp_path / "work/broken"
    shutil.copy("/bin/true", broken)
    with broken.open("r+b") as file:
        file.seek(32)  # e_phoff
        file.write(struct.pack("<Q", 2**64 - 1))
    run = traced(["sh", "-c", "./broken; echo after"])
    assert run.stdout == "after\n"


def test_a_deep_directory_is_moved(traced: Trace) -> None:
    deep = "top/" + "a/" * 700
    run = traced(["sh", "-c", "mv top moved; echo after"], tree={deep: ""})
    assert (run.stdout, run.gaps()) == ("after\n", set())


def test_a_directory_moved_into_another_that_is_moved_then(traced: Trace) -> None:
    """The trace contains the file's path in the full image."""
    run = traced(
        ["sh", "-c", "mv one/inner two/inner; mv two three; cat three/inner/file"],
        tree={"one/inner/file": "read", "two/other": ""},
    )
    assert run.stdout == "read"
    assert run.touches()["one/inner/file"] == "file read"
    assert "two/inner/file" not in run.touches()


def test_a_sparse_file_is_saved_sparse(traced: Trace, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with (tmp_path / "work/sparse").open("wb") as file:
        file.truncate(1 << 32)
    run = traced(["sh", "-c", ": >>sparse"])
    (copy,) = os.listdir(run.trace + ".d")
    status = os.stat(os.path.join(run.trace + ".d", copy))
    assert (status.st_size, status.st_blocks) == (1 << 32, 0)


def test_an_earlier_child_is_not_waited_for(traced: Trace) -> None:
    """An entrypoint starts a daemon in the background, then the app with exec."""
    prefix = ("sh", "-c", 'sleep 60 >../log 2>&1 & echo $! >../pid; exec "$@"', "sh")
    run = traced(["true"], prefix=prefix)
    assert run.run["seconds"] < 30
    with open(os.path.join(run.directory, "../pid")) as file:
        os.kill(int(file.read()), 15)


MAGIC = """
import os
for folder in ("d", "e"):
    os.chdir(folder)
    open("/proc/self/cwd/f").close()
    os.chdir("..")
    fd = os.open(folder + "/g", os.O_PATH)
    open(f"/proc/self/fd/{fd}").close()
    os.close(fd)
"""


def test_a_magic_link_that_leads_to_another_file_next_time(traced: Trace) -> None:
    tree = dict.fromkeys(("d/f", "d/g", "e/f", "e/g"), "")
    run = traced([sys.executable, "-c", MAGIC], tree=tree)
    assert run.status == 0, run.stderr
    touches = run.touches()
    for folder in ("d", "e"):
        assert touches[f"{folder}/f"] == "file read"
        assert touches[f"{folder}/g"] == "file read stat"


def test_a_magic_link_leads_to_another_file_for_another_program(traced: Trace) -> None:
    one, other = (os.path.realpath(str(shutil.which(name))) for name in ("cat", "head"))
    script = "cat /proc/self/exe >/dev/null; head -c 9 /proc/self/exe >/dev/null; :"
    run = traced(["sh", "-c", script])
    assert run.status == 0, run.stderr
    images = {image["id"]: image["exe"] for image in run.document["processes"]}
    users = {
        path: {images[ident] for ident in entry["processes"]}
        for _, path, entry in run.entries()
        if path in (one, other) and "read" in entry["uses"]
    }
    assert one in users[one]
    assert other not in users[one]
    assert other in users[other]


AGAIN = """
import os
open("link/f").close()
try:
    os.symlink("new", "link")
except FileExistsError:
    os.unlink("link")
os.symlink("new", "link")
open("link/f").close()
"""


def test_a_link_that_is_made_again_after_a_failed_attempt(traced: Trace) -> None:
    """The same call failed before; this time it changes the target of a path in the trace."""
    tree = {"old/f": "", "new/f": "", "link": "-> old"}
    run = traced([sys.executable, "-c", AGAIN], tree=tree)
    assert run.status == 0, run.stderr
    touches = run.touches()
    assert touches["link/f"].startswith("file ")
    assert touches["new/f"] == "file read"


def test_a_file_with_two_names_read_from_stdin(tmp_path: Path, traced: Trace) -> None:
    """In the tracer, the path /dev/stdin leads to another file."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/f").write_text("old")
    (tmp_path / "work/g").hardlink_to(tmp_path / "work/f")
    run = traced(["sh", "-c", "cat /dev/stdin <f; cat g; echo x >f"])
    assert run.status == 0, run.stderr
    saved = set(read_trace(run.trace).saved)
    assert saved == {f"{run.directory}/f", f"{run.directory}/g"}
