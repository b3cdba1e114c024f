"""Folders of this machine in repeated runs: commands find their files, and change only copies."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from requirements import need_root
from roots import busybox_root
from traces import allow_all_users, environment, run_slimtrace

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
        env = environment(XDG_CACHE_HOME=str(self.folder / "cache"), **more)
        return run_slimtrace(*argv, cwd=str(self.folder / at), env=env, prefix=self.prefix)

    def trace(self, *argv: str) -> None:
        done = self.slimtrace("-q", "run", "--image", "rootfs:../full", "-o", "../t", *argv)
        assert done.returncode in {0, 143}, done.stderr

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
    done = inside.verify(SLIMTRACE_MAX_FOLDER_COPY=limit)
    assert done.returncode == 0, done.stderr
    warning = f"commands of --exec run in {project.work} itself: cannot make a copy of"
    assert ((warning in done.stderr), os.path.exists(project.work / "left")) == (
        (limit == "0"),
        (limit == "0"),
    )


def test_the_trace_says_where_commands_ran(project: Project) -> None:
    project.trace(*UP, "--exec", "true", "--", "/app/serve")
    shown = project.slimtrace("show", "../t", "--json")
    driving = json.loads(shown.stdout)["runs"][0]["driving"]
    assert driving["directory"] == str(project.work)
