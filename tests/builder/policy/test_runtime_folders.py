"""Directories below /run that an app expects, and how ``verify`` names one that is missing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TIME, describe_selection, make_context, make_root, make_trace
from requirements import need_root
from small_images import make_slim, slimtrace_in, small_image
from umoci_images import unpack_image

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.user import choose_user
from slimtrace.builder.model import BuildPart, Cause, Entry, Kind, Reason, Selection
from slimtrace.builder.pipeline import select
from slimtrace.builder.policy.skeleton import add_runtime_folders
from slimtrace.builder.root.excluded_paths import is_runtime_folder
from slimtrace.builder.root.root import Root
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.tracer.trace.trace import Trace

PLAIN = BuildOptions(baseline=False, package_metadata=False)
TREE = {
    "/run/app/state": "s",
    "/run/app/deep/er/x": "x",
    "/run/lock": None,
    "/run/other": None,
    "/var/run": "-> /run",
    "/var/lock": "-> ../run/lock",
    "/job": "j",
}
APP, LOCK = "directory 2750 ", "directory 1777 "


def planted(folder: Path) -> Path:
    return make_root(folder / "root", TREE, **{"/run/app": 0o2750, "/run/lock": 0o1777})


def below_run(top: Path, the_trace: Trace) -> dict[str, str]:
    selection = select(the_trace, Root(str(top)), PLAIN)
    return {
        path: text
        for path, text in describe_selection(selection).items()
        if path.startswith("/run/")
    }


@pytest.mark.parametrize(
    ("touched", "created", "kept"),
    [
        ({"/job": [Use.READ]}, [], {}),
        ({"/run/app": [Use.STAT]}, [], {"/run/app": APP + "touched"}),
        ({"/var/run/app": [Use.LIST]}, [], {"/run/app": APP + "touched"}),
        ({"/run/app/state": [Use.READ]}, [], {"/run/app": APP + "touched"}),
        ({}, ["/run/app/pid"], {"/run/app": APP + "parent-of-created"}),
        ({}, ["/run/app/made", "/run/app/made/x"], {"/run/app": APP + "parent-of-created"}),
        ({}, ["/var/lock/app"], {"/run/lock": LOCK + "parent-of-created"}),
        ({"/var/lock": [Use.STAT]}, [], {"/run/lock": LOCK + "touched"}),
        ({"/var/lock": [Use.READLINK]}, [], {"/run/lock": LOCK + "symlink"}),
        ({}, ["/run/pid"], {}),
    ],
)
def test_what_is_kept_of_run(
    tmp_path: Path, touched: dict[str, list[Use]], created: list[str], kept: dict[str, str]
) -> None:
    top = planted(tmp_path)
    assert below_run(top, make_trace(top, touched, created=created)) == kept


def test_the_directories_above_are_there_too(tmp_path: Path) -> None:
    top = planted(tmp_path)
    entries = select(make_trace(top, ["/run/app/deep/er"]), Root(str(top)), PLAIN).entries
    assert {"/run/app", "/run/app/deep", "/run/app/deep/er"} <= entries.keys()
    assert entries["/run/app"].mtime_ns == TIME * 10**9
    assert "/run/app/deep/er/x" not in entries


def test_a_link_that_the_build_keeps_leads_somewhere(tmp_path: Path) -> None:
    top = planted(tmp_path)
    cause = Cause(Reason.INCLUDED, BuildPart("--include"))
    link = Entry("/var/lock", Kind.SYMLINK, 0o777, 0, 0, 0, target="../run/lock", causes=(cause,))
    made = add_runtime_folders(Selection({"/var/lock": link}), make_context(top))
    assert made.entries["/run/lock"].mode == 0o1777


def test_this_machines_run_is_state() -> None:
    folders = [entry.path for entry in os.scandir("/run") if entry.is_dir(follow_symlinks=False)]
    assert not any(is_runtime_folder(Root("/"), path) for path in folders)


@pytest.mark.parametrize(
    ("mode", "created", "user"),
    [(0o1777, "/run/lock/app", 65532), (0o755, "/run/lock/app", 0), (0o1777, "/run/app.pid", 0)],
)
def test_the_user_may_be_nobody_where_the_folder_lets_it(
    tmp_path: Path, mode: int, created: str, user: int
) -> None:
    top = planted(tmp_path)
    (top / "run/lock").chmod(mode)
    ran = make_trace(top, ["/job"], created=[created])
    assert choose_user(ran, Root(str(top)), PLAIN).ids[0] == user


START = (
    "#!/bin/sh\n"
    "[ -d /run/app ] || /bin/mkdir /run/app || exit 9\n"
    "echo 1 >/run/app/pid && echo 2 >/var/lock/app && cat /run/app/pid /var/lock/app\n"
)


def prepare(root: Path) -> None:
    for path, mode in (("run/app", 0o750), ("run/lock", 0o1777), ("run/unused", 0o755)):
        (root / path).mkdir(parents=True)
        (root / path).chmod(mode)
        os.chown(root / path, 1000, 1001)
    (root / "var").mkdir()
    (root / "var/lock").symlink_to("/run/lock")


def test_a_service_starts_in_its_slim_image(tmp_path: Path) -> None:
    need_root()
    image = small_image(tmp_path, {"start": START}, "cmd=/start", "user=web", prepare=prepare)
    make_slim(tmp_path, image)
    again = slimtrace_in(tmp_path, "-q", "run", "--image", "oci:slim:v1", "-o", "slim.trace")
    assert (again.returncode, again.stdout) == (0, "1\n2\n"), again.stderr
    tree = unpack_image(f"oci:{tmp_path}/slim:v1", tmp_path / "unpacked")
    assert sorted(os.listdir(tree / "run")) == ["app", "lock"]
    for name, mode in (("app", 0o750), ("lock", 0o1777)):
        status = (tree / "run" / name).stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, 1000, 1001)
        assert not os.listdir(tree / "run" / name)


LATER = """#!/bin/sh
read -r mode </given/mode
[ $mode = idle ] || echo 1 >/run/app/pid
"""


def test_verify_names_a_missing_folder_and_heals_it(tmp_path: Path) -> None:
    """The service makes a file there in the second run only."""
    need_root()
    (tmp_path / "given").mkdir()
    (tmp_path / "given/mode").write_text("idle\n")
    image = small_image(tmp_path, {"start": LATER}, "cmd=/start", "user=web", prepare=prepare)
    make_slim(tmp_path, image, "-v", f"{tmp_path}/given:/given:ro")
    (tmp_path / "given/mode").write_text("busy\n")
    words = ("verify", "oci:slim:v1", "--trace", "app.trace", "--json", "--volumes", "shared")
    done = slimtrace_in(tmp_path, *words)
    assert done.returncode == 1, done.stderr
    assert [item["path"] for item in json.loads(done.stdout)["missing"]] == ["/run/app"]
    healed = slimtrace_in(tmp_path, *words, "--heal")
    assert (healed.returncode, json.loads(healed.stdout)["healed"]) == (0, ["/run/app"])
    tree = unpack_image(f"oci:{tmp_path}/slim:v1", tmp_path / "unpacked")
    assert (tree / "run/app").stat().st_uid == 1000
