"""The cache: one copy for all processes, no partial images, and no removal of images in use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from layouts import Layout, describe_index, describe_tree, entry, folder, make_layout, paths, tar
from repository import ROOT as REPOSITORY
from requirements import need, need_root
from traces import run_slimtrace
from tree_images import shared_folder

from slimtrace.builder.images.read import cache_inventory, cache_layout, cache_limit
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.root.layer_index import LayerIndex, LayerNode, load_index
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache_folder")

OPEN = """
import sys
from slimtrace.builder.images.read.full_image_source import open_image
image = open_image(sys.argv[1])
print(image.root, flush=True)
sys.stdin.read()
"""


def opener(
    name: str, prefix: tuple[str, ...] = (), program: str = sys.executable, **more: str
) -> subprocess.Popen[str]:
    """A process that opens an image, prints its path, and uses it until its stdin ends."""
    return subprocess.Popen(
        [*prefix, program, "-c", OPEN, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **more},
    )


def make_large_image(tmp_path: Path, files: int = 3000) -> str:
    layer = tar(folder("d"), *(entry(f"d/{n}", data=b"x" * 2000) for n in range(files)))
    return make_layout(tmp_path / "image", layer)


def folders_in(base: str) -> list[str]:
    try:
        return sorted(os.listdir(f"{base}/images/sha256"))
    except FileNotFoundError:
        return []


def test_two_at_once_make_one(tmp_path: Path, cache_folder: str) -> None:
    name = make_large_image(tmp_path)
    processes = [opener(name) for _ in range(3)]
    done = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], done
    assert len({out for out, _ in done}) == 1
    assert sum("unpacking" in err for _, err in done) == 1
    assert len(folders_in(cache_folder)) == 2, "an image and its lock"


def test_two_at_once_make_one_of_a_tarball(tmp_path: Path, cache_folder: str) -> None:
    path = tmp_path / "root.tar"
    path.write_bytes(tar(*(entry(str(n)) for n in range(3000))))
    processes = [opener(f"tar:{path}") for _ in range(2)]
    done = [process.communicate() for process in processes]
    assert len({out for out, _ in done}) == 1
    assert sum("unpacking" in err for _, err in done) == 1


@pytest.mark.parametrize("kind", ["layout", "tarball"])
def test_a_run_that_was_killed(tmp_path: Path, cache_folder: str, kind: str) -> None:
    """A partial image is not used, and is removed when the next one is made."""
    name = make_large_image(tmp_path, 20_000)
    if kind == "tarball":
        path = tmp_path / "root.tar"
        path.write_bytes(tar(*(entry(str(n)) for n in range(20_000))))
        name = f"tar:{path}"
    process = opener(name)
    half = f"{cache_folder}/{'files' if kind == 'tarball' else 'images/sha256'}"
    deadline = time.monotonic() + 30
    while not any(map(_has_files, _temporary(half))):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert _temporary(half)
    assert cache_inventory.list_images() == []
    image = open_image(name)
    assert len(paths(image.index)) >= 20_000
    assert _temporary(half) == []
    assert len(os.listdir(f"{image.root}{'/d' if kind == 'layout' else ''}")) == 20_000


def _temporary(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    return [f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".tmp")]


def _has_files(folder_path: str) -> bool:
    return any(files for _, _, files in os.walk(folder_path))


def test_a_ctrl_c_leaves_nothing(tmp_path: Path, cache_folder: str) -> None:
    process = opener(make_large_image(tmp_path, 20_000))
    while not any(map(_has_files, _temporary(f"{cache_folder}/images/sha256"))):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    assert folders_in(cache_folder) == []


def test_prune_spares_what_is_in_use(tmp_path: Path, cache_folder: str) -> None:
    used = make_layout(tmp_path / "used", tar(folder("closed", mode=0), entry("closed/a", mode=0)))
    unused = make_layout(
        tmp_path / "unused", tar(folder("closed", mode=0), entry("closed/b", mode=0))
    )
    opener(unused).communicate()
    process = opener(used)
    assert process.stdout is not None
    root = process.stdout.readline().strip()
    listed = json.loads(run_slimtrace("cache", "--json").stdout)
    assert [image["sources"] for image in listed["images"]] == [[used], [unused]]
    assert listed["folder"] == cache_folder
    shown = run_slimtrace("cache").stdout.splitlines()
    assert [line.split()[-1] for line in shown] == [used, unused]
    pruned = json.loads(run_slimtrace("cache", "--prune", "--json").stdout)
    assert [len(pruned["removed"]), pruned["in_use"]] == [1, [os.path.dirname(root)]]
    assert os.path.isdir(root)
    process.communicate()
    output = run_slimtrace("cache", "--prune").stderr
    assert output == "slimtrace: removed 1 image: freed 0 bytes\n"
    assert folders_in(cache_folder) == []
    assert run_slimtrace("cache").stdout == ""


def test_the_least_recently_used_go_when_the_cache_is_full(tmp_path: Path) -> None:
    """Those in use stay, whatever the limit is."""
    names = [
        make_layout(tmp_path / name, tar(entry(name, data=b"x" * 1000))) for name in ("a", "b", "c")
    ]
    used = opener(names[0])
    assert used.stdout is not None
    used.stdout.readline()
    opener(names[1]).communicate()
    os.utime(f"{_folder_of(names[1])}.lock", (1, 1))
    os.utime(f"{_folder_of(names[0])}.lock", (0, 0))
    opener(names[2], SLIMTRACE_MAX_CACHE_SIZE="3000").communicate()
    assert {name for image in cache_inventory.list_images() for name in image.sources} == {*names}
    fourth = make_layout(tmp_path / "d", tar(entry("d", data=b"x" * 1000)))
    _, errors = opener(fourth, SLIMTRACE_MAX_CACHE_SIZE="3000").communicate()
    assert "removed 1.0 kB of unused images from the cache: it may have 3.0 kB" in errors
    left = {name for image in cache_inventory.list_images() for name in image.sources}
    assert left == {names[0], names[2], fourth}
    fifth = make_layout(tmp_path / "e", tar(entry("e", data=b"x" * 1000)))
    opener(fifth, SLIMTRACE_MAX_CACHE_SIZE="0").communicate()
    left = {name for image in cache_inventory.list_images() for name in image.sources}
    assert left == {names[0], fifth}, "the one in use, and the one that was needed"
    used.communicate()


def _folder_of(source: str) -> str:
    return next(each.folder for each in cache_inventory.list_images() if source in each.sources)


def test_the_limit_is_a_share_of_the_disk(
    cache_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(cache_folder)
    disk = os.statvfs(cache_folder)
    assert 0 < cache_limit.find_limit(0) <= disk.f_blocks * disk.f_frsize / 10
    assert cache_limit.find_limit(0) <= disk.f_bavail * disk.f_frsize
    monkeypatch.setenv("SLIMTRACE_MAX_CACHE_SIZE", "20G")
    with pytest.raises(UsageError, match="SLIMTRACE_MAX_CACHE_SIZE=20G: it is not a whole number"):
        cache_limit.find_limit(0)


def test_what_the_cache_has_and_what_is_freed(
    tmp_path: Path, cache_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What killed commands left counts, too."""
    monkeypatch.setenv(
        "SLIMTRACE_MAX_CACHE_SIZE", "1000000"
    )  # else it follows the disk's free space
    opener(make_layout(tmp_path / "a", tar(entry("a", data=b"x" * 2000)))).communicate()
    listed = run_slimtrace("cache", "--json").stdout
    assert [json.loads(listed)[key] for key in ("size", "limit")] == [2000, 1_000_000]
    assert "1 image, 2.0 kB: the cache may grow to " in run_slimtrace("cache").stderr
    os.makedirs(f"{cache_folder}/scratch/killed.tmp/blobs")
    with open(f"{cache_folder}/scratch/killed.tmp/blobs/one", "w") as file:
        file.write("x" * 500)
    with open(f"{cache_folder}/scratch/killed.lock", "w"):
        pass
    pruned = json.loads(run_slimtrace("cache", "--prune", "--json").stdout)
    assert (len(pruned["removed"]), pruned["freed"]) == (1, 2500)


def test_the_names_by_which_it_was_asked_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image([tar(entry("a"))])
    layout.list(image, "one")
    layout.list(image, "two")
    names = [f"oci:{tmp_path}/image:{tag}" for tag in ("one", "two", "one")]
    assert len({open_image(name).root for name in names}) == 1
    (listed,) = cache_inventory.list_images()
    assert list(listed.sources) == names[:2]


def test_what_is_damaged_says_so(tmp_path: Path) -> None:
    name = make_layout(tmp_path / "image", tar(entry("a")))
    image = open_image(name)
    folder_path = os.path.dirname(image.root)
    with open(f"{folder_path}/index", "r+b") as file:
        file.truncate(20)
    with pytest.raises(SlimtraceError, match="index: it is damaged") as raised:
        open_image(name)
    assert raised.value.hint == "remove it with: slimtrace cache --prune"


@pytest.mark.parametrize("damage", ["a short file", "a missing file", "no index", "no image.json"])
def test_what_a_crash_of_the_system_damages(tmp_path: Path, damage: str) -> None:
    """An image from an earlier boot is checked, and made again if it is damaged."""
    name = make_layout(tmp_path / "image", tar(entry("a", data=b"hello"), entry("b")))
    done = opener(name)
    root = done.communicate()[0].strip()
    folder_path = os.path.dirname(root)
    with open(f"{folder_path}/image.json") as file:
        document = json.load(file)
    with open(f"{folder_path}/image.json", "w") as file:
        json.dump({**document, "boot": "another"}, file)
    match damage:
        case "a short file":
            os.truncate(f"{root}/a", 0)
        case "a missing file":
            os.unlink(f"{root}/b")
        case "no index":
            os.truncate(f"{folder_path}/index", 0)
        case _:
            os.truncate(f"{folder_path}/image.json", 0)
    with open(f"{open_image(name).root}/a") as file:
        assert file.read() == "hello"
    assert os.path.exists(f"{root}/b")


def test_what_an_earlier_boot_made_is_kept(tmp_path: Path) -> None:
    name = make_layout(tmp_path / "image", tar(entry("a", data=b"hello")))
    root = opener(name).communicate()[0].strip()
    folder_path = os.path.dirname(root)
    made = os.stat(root).st_ino
    with open(f"{folder_path}/image.json") as file:
        document = json.load(file)
    with open(f"{folder_path}/image.json", "w") as file:
        json.dump({**document, "boot": "another"}, file)
    assert os.stat(open_image(name).root).st_ino == made
    with open(f"{folder_path}/image.json") as file:
        assert json.load(file) == document


def test_a_relative_cache_home_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_layout.cache_folder() == "/home/somebody/.cache/slimtrace"


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/file")
    with pytest.raises(SlimtraceError, match="cannot write"):
        open_image(make_layout(tmp_path / "image", tar(entry("a"))))


def test_as_a_user(unprivileged: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The user owns and can read all files; the index has the real metadata; prune removes it."""
    layer = tar(
        folder("shut", mode=0o111, uid=5, gid=6),
        entry("shut/secret", mode=0, data=b"x"),
        entry("su", mode=0o4755, uid=7, pax_headers={"SCHILY.xattr.security.capability": "z"}),
        entry("null", b"3", devmajor=1, devminor=3),
    )
    with shared_folder() as base:
        name = make_layout(base / "image", layer)
        monkeypatch.setenv("XDG_CACHE_HOME", f"{base}/cache")
        (base / "cache").mkdir()
        (base / "cache").chmod(0o777)
        process = opener(name, unprivileged)
        out, err = process.communicate()
        assert process.returncode == 0, err
        root = out.strip()
        assert os.path.dirname(root).endswith(".own")
        index = load_index(f"{os.path.dirname(root)}/index")
        document = {path: node[:3] for path, node in describe_index(index).items() if path}
        assert document == {
            "shut": (0o40111, 5, 6),
            "shut/secret": (0o100000, 0, 0),
            "su": (0o104755, 7, 0),
            "null": (0o20644, 0, 0),
        }
        found = {path: line.split()[0] for path, line in describe_tree(root).items() if path}
        assert found == {"shut": "40711", "shut/secret": "100400", "su": "100755"}
        module = "slimtrace.builder.images.read.cache_inventory"
        code = f"from {module} import prune; print(len(prune().removed))"
        argv = [*unprivileged, sys.executable, "-c", code]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        assert done.stdout == "1\n"


def readable_python(folder: Path) -> tuple[str, ...]:
    """A prefix for commands that use this Python at /opt, which every user can read."""
    script = (
        f"mount --bind {sys.base_prefix} /opt && mount --bind {REPOSITORY} {folder}/code && "
        f"mount --bind {os.path.dirname(orjson.__file__)}/.. {folder}/packages && "
        f'export PYTHONPATH={folder}/code:{folder}/packages && cd {folder} && exec "$@"'
    )
    for name in ("code", "packages"):
        (folder / name).mkdir()
    return ("unshare", "-m", "sh", "-c", script, "sh")


def test_in_a_user_namespace(tmp_path: Path) -> None:
    """There the owners are subordinate ids, and the cache has a separate image."""
    need_root()
    need("unshare", "nsenter")
    name = make_layout(tmp_path / "image", tar(entry("a", uid=5, gid=6)))
    for above in [tmp_path, *tmp_path.parents]:
        if above.name.startswith(("pytest-", "popen-", "test_")):
            above.chmod(0o777)
    python = readable_python(tmp_path)
    holder = subprocess.Popen(["unshare", "-U", "sleep", "60"])
    try:
        while os.readlink(f"/proc/{holder.pid}/ns/user") == os.readlink("/proc/self/ns/user"):
            time.sleep(0.01)
        for kind in ("uid", "gid"):
            with open(f"/proc/{holder.pid}/{kind}_map", "w") as file:
                file.write("0 100000 1000")
        entered = ("nsenter", "--user", "-t", str(holder.pid), "-S", "0", "-G", "0")
        out, err = opener(name, (*python, *entered), program="/opt/bin/python3").communicate()
    finally:
        holder.kill()
        holder.wait()
    root = out.strip()
    assert os.path.dirname(root).endswith(".mapped"), err
    assert (os.stat(f"{root}/a").st_uid, os.stat(f"{root}/a").st_gid) == (100_005, 100_006)
    assert open_image(name).root != root


def test_an_index_comes_back(tmp_path: Path) -> None:
    """With any names and attributes, and soon."""
    odd = LayerNode(0o120777, 1, 2, 3, -5, "t\udcff", (("user.\udce4", b"\xff\0"),), 1, 1)
    nodes = {"": odd, "ünï/\udcff": odd, 'quo"te\n': odd}
    plain = LayerNode(0o100644, 0, 0, 1234, 1_600_000_000_123_456_789, "", (), 2, 1)
    nodes |= {f"usr/lib/python3/dist-packages/module/{n}.py": plain for n in range(60_000)}
    index = LayerIndex(nodes)
    index.save(f"{tmp_path}/index")
    start = time.monotonic()
    again = load_index(f"{tmp_path}/index")
    seconds = time.monotonic() - start
    assert {path: again.get(path) for path in again.paths()} == nodes
    assert seconds < 3, "on a busy machine; a tenth of it elsewhere"
    assert again.children("ünï") == ["\udcff"]
    assert again.children("usr/lib/python3") == []
    assert len(again.children("/usr/lib/python3/dist-packages/module/")) == 60_000
