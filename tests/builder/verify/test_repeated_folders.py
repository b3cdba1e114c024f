"""Folders of this machine in repeated runs: volumes, and where commands find their files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from requirements import need, need_root
from roots import busybox_root
from traces import allow_all_users, check_failure, environment, run_slimtrace

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CHECK = """#!/bin/sh
set -e
test "$(cat input)" = "from the user"
test ! -e left
echo changed >input
echo x >left
test "$PWD" = "$(pwd -P)"
"""


SERVE = "#!/bin/sh\necho >/tmp/up\nwhile :; do sleep 1; done\n"
UP = ("--ready", "file:/tmp/up")


@dataclass(frozen=True)
class Project:
    """A folder from which an app is run in a full image; ``elsewhere`` is another folder.

    :ivar prefix: a command that runs slimtrace as another user.
    """

    folder: Path
    prefix: tuple[str, ...] = ()

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def slimtrace(
        self, *argv: str, at: str = "work", **more: str
    ) -> subprocess.CompletedProcess[str]:
        places = {
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_STATE_HOME": str(self.folder / f"state-{'setpriv' in self.prefix}"),
        }
        env = environment(**places, **more)
        return run_slimtrace(*argv, cwd=str(self.folder / at), env=env, prefix=self.prefix)

    def trace(self, *argv: str) -> None:
        done = self.slimtrace("-q", "run", "--image", "rootfs:../full", "-o", "../t", *argv)
        assert done.returncode == 0, done.stderr

    def verify(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Repeat the run in the full image, which lacks nothing."""
        words = ("verify", "rootfs:../full", "--trace", "../t", *argv)
        return self.slimtrace(*words, at="elsewhere", **more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("work", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    busybox_root(tmp_path / "full", {"app/serve": SERVE})
    return Project(tmp_path)


def make_check(folder: Path, prefix: tuple[str, ...] = ()) -> None:
    """Make a command and its file; the user of ``prefix`` owns them."""
    (folder / "check.sh").write_text(CHECK)
    (folder / "check.sh").chmod(0o755)
    (folder / "input").write_text("from the user\n")
    if prefix:
        os.chown(folder / "input", 65534, 65534)


@pytest.mark.parametrize("user", ["root", "an ordinary user"])
def test_commands_run_in_a_new_copy_of_their_folder(
    project: Project, user: str, unprivileged: tuple[str, ...]
) -> None:
    """What they write is seen by the next command of the run, and by no other run."""
    if user != "root":
        project = Project(project.folder, unprivileged)
        allow_all_users(project.folder)
    make_check(project.work, project.prefix)
    command = "./check.sh", "test -e left && test $(cat input) = changed"
    project.trace(*UP, "--exec", command[0], "--exec", command[1], "--", "/app/serve")
    os.unlink(project.work / "left")
    make_check(project.work, project.prefix)
    for _ in range(2):
        done = project.verify()
        assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(project.work)) == ["check.sh", "input"]
    assert (project.work / "input").read_text() == "from the user\n"
    assert os.listdir(project.folder / "elsewhere") == []


def test_commands_see_the_volumes_of_the_app(project: Project) -> None:
    """A volume in their folder is the app's, although the folder is a copy."""
    (project.work / "data").mkdir()
    wait = "while ! test -e {}; do sleep 0.1; done"
    (project.folder / "full/bin/test").symlink_to("busybox")
    (project.folder / "full/app/serve").write_text(
        f"#!/bin/sh\necho >/data/a\n{wait.format('/data/b')}\necho >/data/c\nexec sleep 60\n"
    )
    command = f"{wait.format('data/a')}; echo >data/b; {wait.format('data/c')}"
    volume = ("-v", "./data:/data")
    project.trace(*volume, "--exec-timeout", "60", "--exec", command, "--", "/app/serve")
    for name in os.listdir(project.work / "data"):
        os.unlink(project.work / "data" / name)
    done = project.verify()
    assert done.returncode == 0, done.stderr


def test_the_folder_is_not_on_this_machine(project: Project) -> None:
    make_check(project.work)
    project.trace(*UP, "--exec", "./check.sh", "--", "/app/serve")
    os.rename(project.work, project.folder / "gone")
    make_check(project.folder / "elsewhere")
    done = project.verify()
    assert done.returncode == 0, done.stderr
    here = project.folder / "elsewhere"
    assert f"{project.work} does not exist here: commands of --exec run in a copy of {here}" in (
        done.stderr
    )
    assert sorted(os.listdir(here)) == ["check.sh", "input"]


@pytest.mark.parametrize("limit", ["1000000000", "0"])
def test_other_file_systems_in_their_folder(project: Project, limit: str) -> None:
    """An overlay would not show them, so the files are copied, unless they are too many."""
    need_root()
    make_check(project.work)
    (project.work / "inner").mkdir()
    project.trace(*UP, "--exec", "true", "--", "/app/serve")
    trace = project.folder / "t"
    command = json.dumps("test -e inner/there && echo >left")
    trace.write_text(trace.read_text().replace('["true"]', f"[{command}]"))
    mount = "mount -t tmpfs none ../work/inner && : >../work/inner/there"
    inside = Project(project.folder, ("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"))
    done = inside.verify("--trust", SLIMTRACE_MAX_FOLDER_COPY=limit)
    assert done.returncode == 0, done.stderr
    warning = f"commands of --exec run in {project.work} itself: cannot copy"
    assert ((warning in done.stderr), os.path.exists(project.work / "left")) == (
        (limit == "0"),
        (limit == "0"),
    )


def test_the_trace_says_where_commands_ran(project: Project) -> None:
    project.trace(*UP, "--exec", "true", "--", "/app/serve")
    shown = project.slimtrace("show", "../t", "--json")
    driving = json.loads(shown.stdout)["runs"][0]["driving"]
    assert driving["directory"] == str(project.work)


MIGRATE = """#!/bin/sh
mkdir /data/table || exit 1
rm /data/old || exit 2
echo migrated >/data/log
"""


def make_data(project: Project) -> Path:
    data = project.work / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    (data / "old").touch()
    (project.folder / "full/app/job").write_text(MIGRATE)
    (project.folder / "full/app/job").chmod(0o755)
    return data


def test_a_job_that_can_be_done_once(project: Project) -> None:
    """It begins with the volume as it was, and does nothing to the folder itself."""
    data = make_data(project)
    project.trace("-v", "./data:/data", "--", "/app/job")
    done = {path.name: path.stat().st_mtime_ns for path in data.iterdir()}
    assert sorted(done) == ["log", "table"]
    for _ in range(2):
        verified = project.verify()
        assert verified.returncode == 0, verified.stderr
    assert {path.name: path.stat().st_mtime_ns for path in data.iterdir()} == done
    kept = [path for path in (project.folder / "t.d").iterdir() if path.name.startswith("before-")]
    assert [[path.name for path in folder.iterdir()] for folder in kept] == [["old"]]
    assert (project.folder / "t.d").stat().st_mode & 0o777 == 0o700
    shared = project.verify("--volumes", "shared")
    assert shared.returncode == 1
    assert "/app/job: exit status 1, but 0 when traced" in shared.stderr
    other = project.folder / "elsewhere/other"
    other.mkdir()
    (other / "old").touch()
    replaced = project.verify("-v", "other:/data")
    assert replaced.returncode == 0, replaced.stderr
    assert [path.name for path in other.iterdir()] == ["old"]


def test_slim_does_a_job_once(project: Project) -> None:
    data = make_data(project)
    argv = ("slim", "--image", "rootfs:../full", "-v", "./data:/data", "-o", "rootfs:../slim")
    done = project.slimtrace(*argv, "--", "/app/job")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in data.iterdir()) == ["log", "table"]


def test_the_state_before_survives_a_merge(project: Project) -> None:
    make_data(project)
    project.trace("-v", "./data:/data", "--", "/app/job")
    merged = project.slimtrace("-q", "merge", "../t", "-o", "../both")
    assert merged.returncode == 0, merged.stderr
    os.rename(project.folder / "both", project.folder / "t")
    shutil.rmtree(project.folder / "t.d")
    os.rename(project.folder / "both.d", project.folder / "t.d")
    done = project.verify()
    assert done.returncode == 0, done.stderr


def test_a_run_begins_with_what_the_run_before_left(project: Project) -> None:
    """Where the state before was not kept; each verification begins anew."""
    (project.work / "data").mkdir()
    (project.folder / "full/bin/test").symlink_to("busybox")
    set_up = "test -e /data/begun || echo >/data/database"
    for number, script in enumerate((set_up, "cat /data/database && echo >/data/begun")):
        job = project.folder / f"full/app/job{number}"
        job.write_text(f"#!/bin/sh\n{script}\n")
        job.chmod(0o755)
        argv = ("run", "--image", "rootfs:../full", "-o", "../t", "--append", "-v", "./data:/data")
        done = project.slimtrace(*argv, "--", f"/app/job{number}", SLIMTRACE_MAX_FOLDER_COPY="0")
        assert done.returncode == 0, done.stderr
        assert "verify will repeat this run on a copy" in done.stderr
    shutil.rmtree(project.work / "data")
    (project.work / "data").mkdir()
    for _ in range(2):
        verified = project.verify()
        assert verified.returncode == 0, verified.stderr
    assert os.listdir(project.work / "data") == []


def test_a_volume_of_which_no_copy_can_be_made(project: Project) -> None:
    """Then it is an error: the run must not change the folder without the user's word."""
    need_root()
    data = make_data(project)
    project.trace("-v", "./data:/data", "--volumes", "shared", "--", "/app/job")
    assert not (project.folder / "t.d").exists()
    (data / "inner").mkdir()
    mount = "mount -t tmpfs none ../work/data/inner"
    inside = Project(project.folder, ("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"))
    check_failure(
        inside.verify(SLIMTRACE_MAX_FOLDER_COPY="0"),
        125,
        f"cannot copy {data}: it has more than 0 bytes; and it cannot be overlaid: "
        "other file systems are mounted in it",
        f"repeat the runs on {data} itself with --volumes shared",
    )


def test_a_listening_socket_in_a_volume(project: Project) -> None:
    """A program of this machine listens on it; on a copy of it nobody does."""
    need("python3")
    (project.work / "data").mkdir()
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('data/socket')"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{project.work}/data/socket")
        listening.listen()
        command = f"python3 -c {shlex.quote(connect)}"
        project.trace(*UP, "-v", "./data:/data", "--exec", command, "--", "/app/serve")
        done = project.verify()
        assert done.returncode == 0, done.stderr
