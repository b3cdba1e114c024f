"""The files that a trace keeps: those left out, changed since the run, or preserved."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TIME, describe_selection, make_root, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.full_image import open_full_image
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.gaps import LOSES_FILES, find_next_step
from slimtrace.tracer.trace.trace import Fingerprint, Gap, SavedFile, State, Trace, TracedPath, Use

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.model import Selection

PLAIN = BuildOptions(baseline=False)

TREE = {
    "/lib": "-> usr/lib",
    "/usr/lib/x.so.1": "-> x.so.1.2",
    "/usr/lib/x.so.1.2": "x",
    "/etc/conf": "c",
    "/etc/hosts": "h",
    "/etc/link-to-hosts": "-> hosts",
    "/proc/self/maps": "m",
    "/run/app/state": "s",
    "/var/run": "-> /run",
    "/srv/data/one": "1",
    "/srv/data/two": "2",
}


def choose(top: Path, the_trace: Trace, options: BuildOptions = PLAIN) -> Selection:
    return select(the_trace, Root(str(top), the_trace.saved), options)


def list_causes(selection: Selection) -> dict[str, str]:
    return {item.path: item.why for item in selection.dropped}


def test_what_the_image_holds(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", TREE)
    touched = ["/lib/x.so.1", "/etc/conf", "/srv/data", "/proc/self/maps", "/var/run/app/state"]
    touched += ["/etc/hosts", "/etc/link-to-hosts", "/proc"]
    selection = choose(top, make_trace(top, touched, created=["/tmp/new"]))
    assert describe_selection(selection) == {
        "/etc/conf": "file 0644 touched",
        "/etc/link-to-hosts": "-> hosts symlink",
        "/lib": "-> usr/lib symlink",
        "/run/app": "directory 0755 touched",
        "/proc": "directory 0555 touched,skeleton",
        "/srv/data": "directory 0755 touched",
        "/usr/lib/x.so.1": "-> x.so.1.2 symlink",
        "/usr/lib/x.so.1.2": "file 0644 touched",
        "/var/run": "-> /run symlink",
    }
    assert list_causes(selection) == {
        "/etc/hosts": "a container engine provides it",
        "/proc/self/maps": "the kernel provides it",
        "/tmp/new": "the app created it",
        "/var/run/app/state": "it is state of the running system",
    }


def test_what_running_jvms_keep_of_themselves_stays_out(tmp_path: Path) -> None:
    """Each JVM reads the files of other JVMs, which remove them at their end."""
    own, gone = "/tmp/hsperfdata_app/7", "/tmp/hsperfdata_app/8"
    top = make_root(tmp_path / "root", {own: "x", "/tmp/hsperfdata": "a file of the app's"})
    selection = choose(top, make_trace(top, [own, gone, "/tmp/hsperfdata"]))
    assert list_causes(selection) == dict.fromkeys((own, gone), "it is state of the running system")
    assert "/tmp/hsperfdata" in selection.entries


def test_a_socket_stays_out(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/srv": None})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "srv/s"))
        selection = choose(top, make_trace(top, {"/srv/s": {Use.CONNECT}}))
    assert list_causes(selection) == {"/srv/s": "it is a socket or a device"}


def test_a_link_that_was_only_read_does_not_bring_its_target(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/l": "-> f", "/f": "f", "/d": "-> nowhere"})
    selection = choose(top, make_trace(top, {"/l": {Use.READLINK}, "/d": {Use.READLINK}}))
    assert describe_selection(selection) == {"/d": "-> nowhere touched", "/l": "-> f touched"}


def test_the_skeleton_is_there(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/tmp/x": "x"})
    selection = choose(top, make_trace(top, [], cwd="/none"))
    assert {path: (f"{e.mode:04o}", e.mtime_ns) for path, e in selection.entries.items()} == {
        "/": ("0755", TIME * 10**9),
        "/dev": ("0755", 0),
        "/proc": ("0555", 0),
        "/run": ("0755", 0),
        "/sys": ("0555", 0),
        "/tmp": ("1777", 0),
    }


@pytest.mark.parametrize(
    ("summary", "tree", "expected"),
    [
        ("a link", {"/var/run": "-> /run"}, "/run"),
        ("a relative one", {"/var/run": "-> ../run"}, "../run"),
        ("a folder", {"/var/run/x": "x"}, None),
        ("below a link", {"/var": "-> v", "/v/run": "-> /run"}, None),
        ("nothing", {"/var/x": "x"}, None),
    ],
)
def test_var_run_is_a_link_where_it_is_one(
    tmp_path: Path, summary: str, tree: dict[str, str], expected: str | None
) -> None:
    top = make_root(tmp_path / "root", {"/a": "a", **tree})
    link = choose(top, make_trace(top, ["/a"])).entries.get("/var/run")
    assert (link and link.target) == expected, summary


CHANGES = {
    "/content": "its content",
    "/mode": "its mode",
    "/gone": "it",
    "/type": "its type",
    "/link": "its target",
}


def changed_world(tmp_path: Path) -> tuple[Path, Trace]:
    files = dict.fromkeys((*CHANGES, "/same", "/dir/x"), "before")
    top = make_root(tmp_path / "root", {**files, "/link": "-> same", "/dir": None})
    uses = {path: {Use.READ} for path in files}
    the_trace = make_trace(top, {**uses, "/dir": {Use.LIST}, "/link": {Use.READLINK}})
    (top / "content").write_text("after")
    (top / "mode").chmod(0o600)
    (top / "gone").unlink()
    (top / "type").unlink()
    (top / "type").mkdir()
    (top / "link").unlink()
    (top / "link").symlink_to("/elsewhere")
    (top / "dir/new").write_text("a directory's time changes; that is no change")
    return top, the_trace


def test_files_that_changed_since_the_run_are_an_error(tmp_path: Path) -> None:
    top, the_trace = changed_world(tmp_path)
    with pytest.raises(SlimtraceError) as error:
        choose(top, the_trace)
    assert error.value.message == (
        "cannot build from the trace: "
        "5 files (/content, /gone, /link, /mode, /type) changed since the run"
    )
    assert error.value.hint == "trace the app again, or build with --allow-changed"


def test_allow_changed_takes_what_is_there(tmp_path: Path) -> None:
    top, the_trace = changed_world(tmp_path)
    selection = choose(top, the_trace, BuildOptions(allow_changed=True, user="0:0"))
    assert list_causes(selection) == {"/gone": "it was gone when the image was built"}
    assert {"/content", "/link", "/mode", "/type", "/same"} <= set(selection.entries)
    (warning,) = selection.warnings
    assert "changed since the run: the image has their present state; trace" in warning


def test_no_more_than_five_changed_files_are_named(tmp_path: Path) -> None:
    names = [f"/{n}" for n in range(7)]
    top = make_root(tmp_path / "root", dict.fromkeys(names, "x"))
    the_trace = make_trace(top, names)
    for name in names:
        (top / name[1:]).write_text("changed")
    with pytest.raises(SlimtraceError, match=r"7 files \(/0, /1, /2, /3, /4, …\) changed"):
        choose(top, the_trace)


def test_without_a_fingerprint_only_existence_counts(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/f": "f"})
    there = TracedPath("/f", State.FILE, frozenset({Use.READ}), (1,), 0.0, None)
    the_trace = replace(make_trace(top, []), paths={"/f": there})
    assert "/f" in choose(top, the_trace).entries
    (top / "f").unlink()
    with pytest.raises(SlimtraceError, match=r"1 file \(/f\) changed since the run"):
        choose(top, the_trace)


def test_a_file_put_aside_is_taken_as_it_was(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/etc/x": "before", "/data/deep/y": "gone soon"})
    blobs = {}
    for path in ("/etc/x", "/data/deep/y"):
        blob = tmp_path / path.replace("/", "-")
        blob.write_bytes((top / path[1:]).read_bytes())
        was = Fingerprint.of(os.lstat(top / path[1:]))
        blobs[path] = SavedFile(path, str(blob), was)
    the_trace = make_trace(top, list(blobs), saved=blobs)
    (top / "etc/x").write_text("after!")
    (top / "data/deep/y").unlink()
    (top / "data/deep").rmdir()
    (top / "data").rmdir()
    selection = choose(top, the_trace)
    for path, saved in blobs.items():
        entry = selection.entries[path]
        assert (entry.source, entry.mtime_ns) == (saved.blob, TIME * 10**9)
    assert selection.entries["/data/deep"].kind == "directory"
    assert selection.warnings == ()


def test_the_same_trace_gives_the_same_selection(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", TREE)
    first = make_trace(top, ["/lib/x.so.1", "/etc/conf", "/srv/data", "/srv"])
    second = replace(first, paths=dict(reversed(list(first.paths.items()))))
    before = choose(top, first)
    (top / "srv/data/new").write_text("touched directories are as the run saw them")
    after = choose(top, second)
    assert before == after
    assert list(before.entries.items()) == list(after.entries.items())


def test_gaps_are_warned_of(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/f": "f"})
    the_trace = make_trace(top, ["/f"], gaps=(Gap("killed", "the tracer was killed"),))
    assert choose(top, the_trace).warnings == (
        "the trace may be incomplete (killed: the tracer was killed); trace the app again",
    )


@pytest.mark.parametrize(("kind", "loses"), LOSES_FILES.items())
def test_only_gaps_that_lose_files_are_warned_of(tmp_path: Path, kind: str, loses: bool) -> None:
    """Each warning says what to do."""
    top = make_root(tmp_path / "root", {"/f": "f"})
    warnings = choose(top, make_trace(top, ["/f"], gaps=(Gap(kind, "detail"),))).warnings
    assert len(warnings) == loses
    assert all(f"({kind}: detail); {find_next_step(kind)}" in text for text in warnings)


def test_the_full_image_is_the_runs(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/f": "f"})
    one, two = make_trace(top, []), make_trace(top, [], image="rootfs:/other")
    assert open_full_image(one).root.root == str(top)
    for bad, cause in (
        (Trace(), "it has no run"),
        (replace(one, runs=(*one.runs, *two.runs)), "its runs used different images"),
        (make_trace(top, [], image="oci:x"), "cannot read oci:"),
    ):
        with pytest.raises(SlimtraceError, match=cause):
            open_full_image(bad)


def test_folders_in_which_the_app_made_things_are_there(tmp_path: Path) -> None:
    top = make_root(
        tmp_path / "root", {"/srv/app/x": "x", "/var/cache/app": None, "/l": "-> var/cache"}
    )
    made = ["/var/cache/app/new", "/l/sub", "/l/sub/deeper/file", "/proc/1/x", "/run/app/pid"]
    selection = choose(top, make_trace(top, ["/srv/app/x"], created=made))
    assert describe_selection(selection) == {
        "/srv/app/x": "file 0644 touched,own-folder",
        "/var/cache": "directory 0755 parent-of-created,directory",
        "/var/cache/app": "directory 0755 parent-of-created",
        "/l": "-> var/cache symlink",
    }


@pytest.mark.parametrize("path", ["/", "//", "///"])
def test_a_trace_that_says_the_root_was_made_is_no_endless_walk(tmp_path: Path, path: str) -> None:
    top = make_root(tmp_path / "root", {"/f": "f"})
    assert "/f" in choose(top, make_trace(top, ["/f"], created=[path])).entries


def test_a_user_who_may_not_write_where_the_app_did_is_told(tmp_path: Path) -> None:
    top = make_root(
        tmp_path / "root", {"/srv/db": "x", "/var/data": None, "/var/all": None, "/a": ""}
    )
    (top / "var/all").chmod(0o777)
    uses = {"/srv/db": (Use.READ, Use.WRITE), "/a": (Use.READ,)}
    the_trace = make_trace(top, uses, created=["/var/data/new", "/var/all/new"])
    (warning,) = choose(top, the_trace, BuildOptions(user="4242:4242")).warnings
    assert "the app wrote to /srv/db, /var/data, where the image's user 4242:4242" in warning
    assert choose(top, the_trace, BuildOptions(user="0:0")).warnings == ()
    granted = choose(top, the_trace, BuildOptions(user="4242:4242", grant_write=True))
    given = granted.entries["/var/data"]
    assert (given.uid, given.gid, given.mode) == (4242, 4242, 0o755)
    assert granted.entries["/var/all"].uid != 4242
    (warning,) = granted.warnings
    assert "the app wrote to /srv/db, where" in warning


def test_what_lies_in_a_volume_is_not_the_images(tmp_path: Path) -> None:
    """A volume hides the files of the full image at its path."""
    top = make_root(
        tmp_path / "root", {"/srv/data/f": "f", "/srv/database": "d", "/link": "-> srv/data/f"}
    )
    ran = make_trace(top, ["/srv/data/f", "/srv/database", "/link"], volumes=("/srv/data",))
    selection = choose(top, ran)
    assert "/srv/data/f" not in selection.entries
    assert "/srv/database" in selection.entries
    dropped = {item.path: item.why for item in selection.dropped}
    assert dropped == {"/srv/data/f": "it is in a volume"}
    assert selection.entries["/link"].target == "srv/data/f"
