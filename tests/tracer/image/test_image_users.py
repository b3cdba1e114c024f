"""Images run by an ordinary user: with subordinate IDs, and with only their own ID."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pytest
from repository import ROOT
from requirements import need, need_root, skip_missing
from roots import busybox_root, describe_tree
from traces import allow_all_users, run_slimtrace, show

from slimtrace.tracer.engines.choice import ENGINES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

USER = 65534
FIRST = 300000
"""The first subordinate ID; it is 1 in the namespace."""


class Ran(NamedTuple):
    out: str
    run: dict[str, Any]
    states: dict[str, str]


class Place(NamedTuple):
    """An image that the user owns, and the argv prefix that runs a command as the user."""

    folder: Path
    prefix: Sequence[str]

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def run(self, user: str, script: str, *options: str) -> Ran:
        before = describe_tree(self.root)
        output = str(self.folder / "out/app.trace")
        arguments = ("-q", "run", "--force", "-o", output, "--image", f"rootfs:{self.root}")
        argv = ("--user", user, *options, "--", "sh", "-c", script)
        done = run_slimtrace(*arguments, *argv, cwd=str(self.folder), prefix=self.prefix)
        if "cannot become root" in done.stderr or "user namespaces" in done.stderr:
            skip_missing(done.stderr)
        assert (done.returncode, done.stderr) == (0, "")
        assert describe_tree(self.root) == before
        assert os.listdir(self.folder / "scratch") == []
        document = show(output)
        states = {
            entry["path"]: state
            for state in ("files", "missing", "created")
            for entry in document[state]
        }
        return Ran(done.stdout, document["runs"][0], states)


@pytest.fixture
def folder(tmp_path: Path, unprivileged: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Path:
    need_root()  # to change owners, and to use the IDs of the tables
    allow_all_users(tmp_path)
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    root = busybox_root(tmp_path / "root", {"srv/file": "file\n", "srv/of-web": "web's\n"})
    (root / "srv/of-web").chmod(0o600)
    for path in [root, *root.rglob("*")]:
        os.chown(path, USER, USER, follow_symlinks=False)
    return tmp_path


@pytest.fixture
def with_one_id(folder: Path, unprivileged: tuple[str, ...]) -> Place:
    return Place(folder, unprivileged)


@pytest.fixture
def with_subordinate_ids(folder: Path, unprivileged: tuple[str, ...]) -> Place:
    """With tables of subordinate IDs in a private mount namespace."""
    need("unshare", "mount", "newuidmap", "newgidmap")
    (folder / "subids").write_text(f"{USER}:{FIRST}:65536\n")
    os.chown(folder / "root/srv/of-web", FIRST + 999, FIRST + 1000)
    tables = [f"mount --bind {folder}/subids /etc/sub{kind}" for kind in ("uid", "gid")]
    script = " && ".join([*tables, 'exec "$@"'])
    if not all(os.path.exists(f"/etc/sub{kind}") for kind in ("uid", "gid")):
        skip_missing("/etc/subuid and /etc/subgid")
    assert shutil.which("unshare")
    return Place(folder, ("unshare", "-m", "sh", "-c", script, "sh", *unprivileged))


WRITES = "cat /srv/file; echo x >/work/made; rm /srv/file 2>/dev/null; echo y 2>/dev/null >/srv/new"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("user", ["0:0", "1000:1001", "65532:65532"])
def test_with_only_the_callers_id(with_one_id: Place, engine: str, user: str) -> None:
    """Any user of the app is the caller outside."""
    script = f"id -u; id -g; {WRITES}; ls /srv"
    done = with_one_id.run(user, script, "--engine", engine)
    uid, _, gid = user.partition(":")
    assert done.out.split() == [uid, gid, "file", "new", "of-web"]
    assert (done.run["user"], done.run["complete"], done.run["engine"]) == (user, True, engine)
    assert done.states["/srv/file"] == "files"
    assert (done.states["/work/made"], done.states["/srv/new"]) == ("created", "created")


@pytest.mark.parametrize("engine", ENGINES)
def test_root_with_subordinate_ids(with_subordinate_ids: Place, engine: str) -> None:
    script = f"id -u; {WRITES}; cat /srv/of-web; ls -ln /srv/of-web; ls /srv"
    done = with_subordinate_ids.run("0", script, "--engine", engine)
    lines = done.out.splitlines()
    assert lines[:3] == ["0", "file", "web's"]
    assert lines[3].split()[2:4] == ["1000", "1001"]
    assert lines[4:] == ["new", "of-web"]
    assert (done.run["user"], done.run["complete"]) == ("0:0", True)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_user_with_subordinate_ids(with_subordinate_ids: Place, engine: str) -> None:
    """Owners decide, as in a container: the user can write only to /work."""
    script = f"id -u; id -G; {WRITES}; cat /srv/of-web; ls /srv"
    done = with_subordinate_ids.run("web", script, "--engine", engine)
    assert done.out.split() == ["1000", "1001", "50", "file", "web's", "file", "of-web"]
    assert (done.run["user"], done.run["complete"]) == ("1000:1001", True)
    assert done.states["/work/made"] == "created"
    assert done.states["/srv/new"] == "missing"


def test_no_network(with_one_id: Place) -> None:
    assert with_one_id.run("0", "ls /sys/class/net", "--network", "none").out == "lo\n"


@pytest.fixture
def with_closed_python(folder: Path) -> Place:
    """Only CAP_DAC_READ_SEARCH can read the interpreter; without it, imports fail."""
    need("unshare", "mount", "setpriv")
    for name in ("closed", "closed/python", "code", "packages"):
        (folder / name).mkdir()
    (folder / "closed").chmod(0o700)
    sources = {
        "closed/python": sys.base_prefix,
        "code": ROOT,
        "packages": os.path.dirname(os.path.dirname(orjson.__file__)),
    }
    mounts = [f"mount --bind {path} {folder}/{name}" for name, path in sources.items()]
    capability = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    user = f"setpriv --reuid={USER} --regid={USER} --clear-groups {capability}"
    python = f"{folder}/closed/python/bin/{os.path.basename(os.path.realpath(sys.executable))}"
    path = f"export PYTHONPATH={folder}/code:{folder}/packages"
    script = " && ".join([*mounts, path, "shift", f'exec {user} {python} "$@"'])
    return Place(folder, ("unshare", "-m", "sh", "-c", script, "sh"))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interpreter_that_cannot_be_read_in_the_namespace(
    with_closed_python: Place, engine: str
) -> None:
    done = with_closed_python.run("0", "cat /srv/file", "--engine", engine)
    assert (done.out, done.run["complete"]) == ("file\n", True)
