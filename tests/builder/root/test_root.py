"""The reader of the full image resolves paths as the kernel does, and never leaves the root."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from build_fixtures import TIME, TOUCHED, make_root
from hypothesis import given, settings
from hypothesis import strategies as st
from requirements import need, need_root

from slimtrace.builder.model import Kind
from slimtrace.builder.root.host_root import Totals
from slimtrace.builder.root.root import Root, list_parents
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.trace.trace import Fingerprint, SavedFile

TREE = {
    "/usr/lib/x.so.1.2": "x",
    "/usr/lib/x.so.1": "-> x.so.1.2",
    "/lib": "-> usr/lib",
    "/etc/abs": "-> /usr/lib/x.so.1",
    "/etc/out": "-> ../../../../usr/lib",
    "/etc/loop": "-> loop",
    "/etc/gone": "-> /nowhere/else",
    "/a/b/up": "-> ../..",
}


@pytest.mark.parametrize(
    ("path", "resolved", "links", "exists"),
    [
        ("/", "/", (), True),
        ("/usr/lib/x.so.1.2", "/usr/lib/x.so.1.2", (), True),
        ("/lib/x.so.1", "/usr/lib/x.so.1.2", ("/lib", "/usr/lib/x.so.1"), True),
        ("/etc/abs", "/usr/lib/x.so.1.2", ("/etc/abs", "/usr/lib/x.so.1"), True),
        ("/etc/out/x.so.1.2", "/usr/lib/x.so.1.2", ("/etc/out",), True),
        ("/lib/../lib/x.so.1.2", "/usr/lib/x.so.1.2", ("/lib",), True),
        ("/../../usr", "/usr", (), True),
        ("/a/b/up/usr", "/usr", ("/a/b/up",), True),
        ("/etc/loop", "/etc/loop", ("/etc/loop",) * 40, False),
        ("/etc/gone", "/nowhere/else", ("/etc/gone",), False),
        ("/usr/lib/x.so.1.2/", "/usr/lib/x.so.1.2", (), False),
        ("/usr/lib/x.so.1.2/..", "/usr/lib/x.so.1.2/..", (), False),
        ("/no/such", "/no/such", (), False),
        ("/" + "n" * 300, "/" + "n" * 300, (), False),
    ],
)
def test_resolves(
    tmp_path: Path, path: str, resolved: str, links: tuple[str, ...], exists: bool
) -> None:
    root = Root(str(make_root(tmp_path / "root", TREE)))
    assert root.resolve(path) == (resolved, links, exists)


def test_what_was_looked_up_before_changes_nothing(tmp_path: Path) -> None:
    root = Root(str(make_root(tmp_path / "root", TREE)))
    paths = ["/usr", "/usr/lib", "/usr/lib/x.so.1.2", "/etc/abs", "/lib", "usr", "usr/lib", "lib"]
    paths += ["/usr/no", "/usr/lib/..", "/usr/lib/.", "/usr/", "/etc/loop", "/usr/lib/x.so.1.2/a"]
    for path in [*paths, *paths]:
        fresh = Root(root.root)
        assert root.resolve(path) == fresh.resolve(path)
        assert root.resolve(path, follow=False) == fresh.resolve(path, follow=False)


def test_a_link_that_is_not_followed_is_what_is_found(tmp_path: Path) -> None:
    root = Root(str(make_root(tmp_path / "root", TREE)))
    assert root.resolve("/lib/x.so.1", follow=False) == ("/usr/lib/x.so.1", ("/lib",), True)
    assert root.resolve("/lib/", follow=False) == ("/usr/lib", ("/lib",), True)


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=6)
TARGETS = st.tuples(st.booleans(), PATHS).map(lambda x: ("/" if x[0] else "") + "/".join(x[1]))
NODES = st.one_of(st.just("dir"), st.just("file"), TARGETS.map(lambda t: "-> " + (t or ".")))
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), NODES, max_size=12)


@settings(max_examples=150, deadline=None, database=None)
@given(tree=TREES, paths=st.lists(PATHS.map("/".join), min_size=1, max_size=8))
def test_the_kernel_agrees(tree: dict[str, str], paths: list[str]) -> None:
    folder = tempfile.mkdtemp()
    try:
        for path, node in sorted(tree.items()):
            with suppress(OSError):  # a parent is missing or is not a directory
                make(os.path.join(folder, path), node)
        root = Root(folder)
        for path in paths:
            for follow in (True, False):
                found = root.resolve("/" + path, follow=follow)
                expected = kernel(folder, "/" + path, follow=follow)
                assert (found.path if found.exists else None) == expected, path
    finally:
        shutil.rmtree(folder)


def make(path: str, node: str) -> None:
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
        return  # a parent became a symlink, so its entries are elsewhere
    if node == "dir":
        os.mkdir(path)
    elif node == "file":
        Path(path).touch()
    else:
        os.symlink(node[3:], path)


def kernel(folder: str, path: str, *, follow: bool) -> str | None:
    top = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = open_in_root(top, path.encode(), follow=follow)
    except OSError:
        return None
    finally:
        os.close(top)
    try:
        return os.readlink(f"/proc/self/fd/{fd}").removeprefix(folder) or "/"
    finally:
        os.close(fd)


def test_forty_links_are_the_limit(tmp_path: Path) -> None:
    chain = {f"/l{n}": f"-> l{n + 1}" for n in range(1, 41)}
    root = Root(str(make_root(tmp_path / "root", {**chain, "/l41": "end"})))
    assert root.resolve("/l1").exists
    assert not Root(str(make_root(tmp_path / "root", {"/l0": "-> l1"}))).resolve("/l0").exists


def test_an_entry_keeps_the_metadata(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/f": "four", "/l": "-> f"}, **{"/f": 0o4751})
    os.link(top / "f", top / "g")
    os.mkfifo(top / "p")
    entry = Root(str(top)).entry("/f", (TOUCHED,))
    assert (entry.kind, entry.mode, entry.size, entry.mtime_ns) == (
        Kind.FILE,
        0o4751,
        4,
        TIME * 10**9,
    )
    assert (entry.uid, entry.gid) == (os.geteuid(), os.stat(top / "f").st_gid)
    assert entry.hardlink == Root(str(top)).entry("/g", ()).hardlink is not None
    assert entry.source == str(top / "f")
    link = Root(str(top)).entry("/l", ())
    assert (link.kind, link.target, link.size, link.source) == (Kind.SYMLINK, "f", 0, None)
    assert Root(str(top)).entry("/p", ()).kind is Kind.FIFO


def test_a_socket_is_no_entry(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(SlimtraceError, match="cannot keep /s: it is a socket or a device"):
            Root(str(tmp_path)).entry("/s", ())


def test_reading_what_is_no_file_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    with pytest.raises(SlimtraceError, match="cannot read /p: it is not a regular file"):
        Root(str(tmp_path)).open("/p")


def test_a_root_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SlimtraceError, match=r"cannot read the full image .*/none: it is not"):
        Root(str(tmp_path / "none"))


def test_files_put_aside_are_as_they_were(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("before")
    was = Fingerprint(0o100640, 7, 8, 6, 5)
    saved = {path: SavedFile(path, str(blob), was) for path in ("/etc/x", "/gone/deep/y")}
    top = make_root(tmp_path / "root", {"/etc/x": "after!!!"})
    root = Root(str(top), saved)
    for path in saved:
        assert root.resolve(path) == (path, (), True)
        entry = root.entry(path, ())
        assert (entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns) == (0o640, 7, 8, 6, 5)
        with root.open(path) as file:
            assert file.read() == b"before"
    assert root.entry("/gone/deep", ()).kind is Kind.DIRECTORY
    assert root.listdir("/") == ["etc", "gone"]
    assert root.listdir("/gone") == ["deep"]
    assert root.listdir("/gone/deep") == ["y"]
    assert root.resolve("/gone/deep/../deep/y").exists


@pytest.mark.parametrize("kind", ["a FIFO", "a symlink"])
def test_what_lies_in_a_copys_place(tmp_path: Path, kind: str) -> None:
    """A trace is not trusted, and neither are its copies of files."""
    (tmp_path / "root").mkdir()
    copy = tmp_path / "copy"
    if kind == "a FIFO":
        os.mkfifo(copy)
    else:
        copy.symlink_to("/etc/passwd")
    saved = SavedFile("/x", str(copy), Fingerprint(stat.S_IFREG | 0o644, 0, 0, 1, 0))
    with pytest.raises(SlimtraceError, match="cannot read /x: "):
        Root(str(tmp_path / "root"), {"/x": saved}).open("/x")


def test_totals_count_an_inode_once_and_no_kernel_directories(tmp_path: Path) -> None:
    tree = {"/a": "12345", "/b/c": "123", "/proc/x": "no", "/run/y": "no", "/l": "-> a"}
    top = make_root(tmp_path / "root", tree)
    os.link(top / "a", top / "b/a")
    assert Root(str(top)).totals() == Totals(3, 8)


def test_totals_count_what_is_allocated(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/full": "x" * 10_000, "/sparse": "", "/half": "x" * 8192})
    os.truncate(top / "sparse", 1 << 40)
    os.truncate(top / "half", 1 << 30)
    totals = Root(str(top)).totals()
    assert totals.files == 3
    assert 10_000 + 8192 <= totals.size < 100_000  # the size of a block depends on the file system


def test_totals_count_a_bind_mount_once(tmp_path: Path) -> None:
    need_root()
    need("unshare", "mount")
    top = make_root(tmp_path / "root", {"/data/a": "12345", "/mnt/hidden": "", "/own/b": "123"})
    binds = ("data mnt", "own own", ". data/whole")
    (top / "data/whole").mkdir()
    mounts = " && ".join(f"mount --bind {names}" for names in binds)
    script = f"cd {top} && {mounts} && exec {sys.executable} -c '{TOTALS}' {top}"
    argv = ["unshare", "-m", "sh", "-c", script]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "8"]


TOTALS = (
    "import sys; from slimtrace.builder.root.root import Root; print(*Root(sys.argv[1]).totals())"
)


def test_parents() -> None:
    assert list_parents("/") == []
    assert list_parents("/a") == ["/"]
    assert list_parents("/a/b/c") == ["/", "/a", "/a/b"]
