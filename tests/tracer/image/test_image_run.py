"""``run --image rootfs:DIR``: the app's environment, the trace, and the cleanup."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest
from requirements import need, need_root, skip_missing
from roots import busybox_root, copy_program, describe_tree
from traces import SECONDS, decode_text, environment, run_slimtrace, show

from slimtrace.tracer.engines.choice import ENGINES
from slimtrace.tracer.sandbox.overlay import _PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from conftest import Tracee

BUSY = "echo ready; while :; do echo x >>/work/x; done"
HIDDEN = ("/bin/", "/proc/", "/dev/", "/lib")


class Ran(NamedTuple):
    """A run in an image and its trace."""

    status: int
    out: str
    err: str
    document: dict[str, Any]

    @property
    def run(self) -> dict[str, Any]:
        run: dict[str, Any] = self.document["runs"][0]
        return run

    def touches(self) -> dict[str, str]:
        """Map paths to state and uses, without programs and the kernel's file systems."""
        sections = {"files": "file", "missing": "missing", "created": "created"}
        return {
            decode_text(entry, "path"): f"{state} {' '.join(sorted(entry['uses']))}"
            for section, state in sections.items()
            for entry in self.document[section]
            if decode_text(entry, "path") != "/"
            and not decode_text(entry, "path").startswith(HIDDEN)
        }


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def inside(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command in an image with a tree, and check that nothing is left of the sandbox."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))

    def run(
        argv: Sequence[str],
        *options: str,
        tree: Mapping[str, str] | None = None,
        more: Callable[[Path], object] = lambda _: None,
    ) -> Ran:
        root = busybox_root(tmp_path / "root", tree)
        more(root)
        before = describe_tree(root)
        output = str(tmp_path / "app.trace")
        arguments = ("-q", "run", "-o", output, "--engine", engine, "--image", f"rootfs:{root}")
        done = run_slimtrace(*arguments, *options, "--", *argv)
        assert "Traceback" not in done.stderr, done.stderr
        assert describe_tree(root) == before
        assert os.listdir(scratch) == []
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        document = show(output) if os.path.exists(output) else {}
        result = Ran(done.returncode, done.stdout, done.stderr, document)
        if "user namespaces" in result.err:
            skip_missing(result.err)
        return result

    return run


def script(*lines: str) -> list[str]:
    return ["sh", "-c", "\n".join(lines)]


# ---- the trace


def test_paths_are_resolved_in_the_image(inside: Callable[..., Ran], tmp_path: Path) -> None:
    """Absolute symlinks lead to files of the image, never to files of this machine."""
    (tmp_path / "of-the-machine").write_text("not in the image\n")
    tree = {
        "srv/only-here": "here\n",
        "srv/link": "-> /srv/only-here",
        "srv/chain": "-> ../srv/link",
        "srv/out": f"-> {tmp_path}/of-the-machine",
        "srv/folder": "-> /srv",
    }
    lines = ["cat /srv/link /srv/chain /srv/folder/only-here", "cat /srv/out || true"]
    done = inside(script(*lines), tree=tree)
    assert (done.status, done.out) == (0, "here\n" * 3)
    assert done.run["complete"]
    assert done.touches() == {
        "/srv/link": "file read",
        "/srv/chain": "file read",
        "/srv/folder/only-here": "file read",
        "/srv/out": "missing read",
    }


def test_files_that_the_app_makes_and_changes(inside: Callable[..., Ran]) -> None:
    tree = {"etc/conf": "old\n", "etc/gone": "1\n", "etc/moved": "2\n", "srv/a/b": "3\n"}
    lines = [
        "echo new >/etc/conf",
        "rm /etc/gone",
        "mv /etc/moved /etc/renamed",
        "echo x >/work/made; cat /work/made /etc/renamed /etc/conf",
        "mkdir /work/d; echo y >/work/d/e",
        "ln -s /work /srv/to-work; cat /srv/to-work/d/e",
    ]
    done = inside(script(*lines), tree=tree)
    assert (done.status, done.out) == (0, "x\n2\nnew\ny\n")
    touches = done.touches()
    assert touches["/etc/conf"] == "file read write"
    assert "delete" in touches["/etc/gone"]
    assert touches["/etc/gone"].startswith("file ")
    assert touches["/etc/moved"].startswith("file ")
    assert "created" in touches["/etc/renamed"]
    created = {path for path, uses in touches.items() if uses.startswith("created ")}
    assert {"/work/made", "/work/d", "/work/d/e", "/srv/to-work", "/srv/to-work/d/e"} <= created


def test_the_user_cannot_write_without_permission(inside: Callable[..., Ran]) -> None:
    done = inside(script("echo x >/etc/made", "echo x >/work/made"), "--user", "web")
    touches = done.touches()
    assert touches["/etc/made"].startswith("missing ")
    assert touches["/work/made"].startswith("created ")


def test_interpreters_and_descriptors(inside: Callable[..., Ran]) -> None:
    tree = {
        "srv/first": "#!/srv/second x\n",
        "srv/second": '#!/bin/sh\necho second "$@"\n',
        "srv/data": "data\n",
        "srv/log": "-> /dev/stdout",
    }
    lines = "/srv/first a", "exec 3</srv/data; cat /proc/self/fd/3", "echo logged >/srv/log"
    done = inside(script(*lines), tree=tree)
    assert (done.status, done.out) == (0, "second x /srv/first a\ndata\nlogged\n")
    assert done.touches() == {
        "/srv/first": "file exec",
        "/srv/second": "file exec read",
        "/srv/data": "file read",
        "/srv/log": "file write",
    }
    exes = {decode_text(image, "exe") for image in done.document["processes"]}
    assert exes == {"/bin/busybox"}


def test_processes_and_their_exit(inside: Callable[..., Ran]) -> None:
    """The sandbox reaps orphans; a daemon's reads belong to the program that it runs."""
    tree = {"srv/late": "late\n"}
    lines = [
        "(sleep 0.2; exec cat /srv/late >/work/out) &",
        "sh -c 'exit 7' ; echo $?",
        "sh -c '(sleep 0.3 & ) ; :'; sleep 0.6",
        "ls /proc | while read n; do case $n in [0-9]*) cat /proc/$n/stat;; esac; done 2>&1",
    ]
    done = inside(script(*lines), tree=tree)
    assert done.out.startswith("7\n")
    assert ") Z " not in done.out
    assert done.touches()["/srv/late"] == "file read"
    statuses = {image.get("exit_status") for image in done.document["processes"]}
    assert 7 in statuses


@pytest.mark.parametrize("name", ["chroot_open", "thread_exec", "fork_storm", "vfork_exec"])
def test_tracees(inside: Callable[..., Ran], tracee: Tracee, name: str) -> None:
    """Programs that change their root, or have threads and many processes, in an image."""

    def add(root: Path) -> None:
        copy_program(tracee(name), root, "/bin/tracee")
        (root / "srv").mkdir()

    tree = {"work/root/in-root": "1\n", "work/a": "2\n", "work/b": "3\n"}
    done = inside(["/bin/tracee", "."], "--workdir", "/work", tree=tree, more=add)
    assert done.run["gaps"] == [], done.run["gaps"]
    assert done.run["complete"]


def test_a_chroot_in_the_image(inside: Callable[..., Ran]) -> None:
    """Paths in another root are recorded as paths of the image."""

    def add(root: Path) -> None:
        (root / "bin/chroot").symlink_to("busybox")
        (root / "jail/bin").mkdir(parents=True)
        os.link(root / "bin/busybox", root / "jail/bin/cat")
        (root / "jail/etc").mkdir()
        (root / "jail/etc/real").write_text("jailed\n")
        (root / "jail/etc/conf").symlink_to("/etc/real")

    done = inside(script("chroot /jail /bin/cat /etc/conf"), more=add)
    assert (done.status, done.out) == (0, "jailed\n")
    assert done.touches()["/jail/etc/real"] == "file read"
    assert not {"/etc/conf", "/etc/real"} & done.touches().keys()


def test_mounts_of_the_app_in_the_image(inside: Callable[..., Ran]) -> None:
    """Files in a file system that the app mounted are not files of the image: they are a gap."""

    def add(root: Path) -> None:
        for applet in ("mount", "unshare"):
            (root / "bin" / applet).symlink_to("busybox")

    lines = "cat /srv/f; mount -t tmpfs none /srv; echo in >/srv/g; cat /srv/g /etc/hello"
    argv = ["unshare", "-r", "-m", "sh", "-c", lines]
    done = inside(argv, tree={"srv/f": "f\n", "etc/hello": "hi\n"}, more=add)
    assert (done.status, done.out) == (0, "f\nin\nhi\n")
    assert [gap["kind"] for gap in done.run["gaps"]] == ["foreign-root"]
    assert done.touches()["/etc/hello"] == "file read"
    assert done.touches()["/srv/f"] == "file read"


# ---- the app's environment


def test_users_are_read_from_the_image(inside: Callable[..., Ran]) -> None:
    need_root()
    done = inside(script("id -u; id -g; id -G; echo $HOME"), "--user", "web")
    assert done.out.split() == ["1000", "1001", "1001", "50", "/srv"]
    assert done.run["user"] == "1000:1001"


def test_files_and_variables_that_engines_provide(
    inside: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("shared\n")
    options = (
        "--env",
        "A=b c",
        "--workdir",
        "/made/here",
        "--hostname",
        "box",
        "--network",
        "none",
    )
    volumes = ("-v", f"{tmp_path}/shared:/mnt/dir", "-v", f"{tmp_path}/shared/file:/mnt/one:ro")
    lines = [
        "echo $A $PWD $HOSTNAME $PATH; cat /etc/hostname /mnt/dir/file /mnt/one; echo $$",
        "echo y 2>/dev/null >/mnt/one || echo refused; echo z >/mnt/dir/new; ls /sys/class/net",
        "for i in null zero full random urandom tty; do [ -c /dev/$i ] || echo no $i; done",
        "echo x >/dev/shm/x && ls /dev/shm; [ -w /tmp ] && echo tmp",
        "echo x 2>/dev/null >/sys/x || echo read-only",
    ]
    done = inside(script(*lines), *options, *volumes)
    assert done.out.splitlines() == [
        "b c /made/here box /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        *("box", "shared", "shared", "1", "refused", "lo", "x", "tmp", "read-only"),
    ]
    assert (tmp_path / "shared/new").read_text() == "z\n"
    assert done.run["volumes"] == ["/mnt/dir", "/mnt/one"]
    assert done.touches()["/mnt/dir/file"] == "file read"
    assert done.touches()["/mnt/dir/new"].startswith("created ")
    assert (done.run["cwd"], done.run["image"]) == ("/made/here", f"rootfs:{tmp_path}/root")


@pytest.mark.parametrize("name", ["etc/other", "tmp/of-the-app"])
def test_tmp_is_in_memory_unless_the_image_has_something_there(
    inside: Callable[..., Ran], name: str
) -> None:
    lines = "ls /tmp; grep -c ' /tmp tmpfs ' /proc/mounts; echo x >/tmp/x"
    done = inside(script(lines), tree={name: ""})
    assert done.out.split() == (["1"] if name == "etc/other" else ["of-the-app", "0"])
    assert done.touches()["/tmp/x"].startswith("created ")


def test_no_descriptor_of_the_machine_is_inherited(inside: Callable[..., Ran]) -> None:
    done = inside(script("ls -l /proc/self/fd"))
    assert {line.split()[8] for line in done.out.splitlines() if "->" in line} <= {*"0123"}


# ---- the end of a run


@pytest.mark.parametrize(
    ("argv", "status", "number", "said"),
    [
        (script("exit 3"), 3, None, ""),
        (script("sh -c 'kill -TERM $$; sleep 9'; exit $?"), 143, None, ""),
        (script("sh -c 'kill -KILL $$; sleep 9'; exit $?"), 137, None, ""),
        (script("sleep 9 & kill -KILL -1; wait $!; exit 5"), 5, None, ""),
        (["nothing"], 127, None, "cannot run nothing: it is not on the PATH"),
        (["/srv/text"], 126, None, "cannot run /srv/text: permission denied"),
        (["/srv/script"], 126, None, "its interpreter is missing"),
    ],
    ids=["exit", "signal", "killed", "kills all", "not found", "not executable", "no interpreter"],
)
def test_exit_status(
    inside: Callable[..., Ran], argv: Sequence[str], status: int, number: int | None, said: str
) -> None:
    done = inside(argv, tree={"srv/text": "no program\n", "srv/script": "#!/nothing\n"})
    assert done.status == status, done.err
    assert said in done.err
    if not said:
        assert (done.run["exit_status"], done.run["signal"]) == (status, number)
    else:
        assert done.document == {}


def test_commands_inside(inside: Callable[..., Ran]) -> None:
    """They share the app's files and are traced. Then the app is stopped, as after --exec."""
    options = (
        *("--exec", "echo outside", "--exec-in", "sh -c 'echo $A; cat /srv/asked'"),
        *("--exec-in", "ls /work", "--env", "A=inside"),
    )
    lines = "trap 'echo bye; exit 4' TERM", "echo x >/work/of-app", "while :; do sleep 0.05; done"
    done = inside(script(*lines), "--ready", "0.5", *options, tree={"srv/asked": "asked\n"})
    assert (done.status, done.out) == (0, "bye\n")
    assert done.err.split() == ["outside", "inside", "asked", "of-app"]
    assert done.touches()["/srv/asked"] == "file read"
    starts = [image["argv"][0] for image in done.document["processes"] if image["parent"] is None]
    assert starts == ["sh", "sh", "ls"]
    assert done.run["complete"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'exit 5'", "failed: exit status 5"),
        ("nothing here", "cannot run nothing: it is not on the PATH"),
    ],
)
def test_a_command_inside_that_fails(inside: Callable[..., Ran], command: str, said: str) -> None:
    done = inside(["sleep", "100"], "--exec-in", command)
    assert done.status == 1
    assert said in done.err


def processes(marker: str) -> list[str]:
    """Find processes that have this argument, slimtrace and guards included."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in arguments:
            found.append(arguments.decode(errors="replace"))
    return found


def test_a_killed_tracer_leaves_nothing(tmp_path: Path, engine: str) -> None:
    root, scratch = busybox_root(tmp_path / "root"), tmp_path / "scratch"
    scratch.mkdir()
    before, marker = describe_tree(root), f"31536002.{os.getpid()}"
    argv = [sys.executable, "-m", "slimtrace", "-q", "run", "-o", str(tmp_path / "t")]
    app = script("echo x >/work/x", f"sleep {marker} & sleep {marker} & echo ready; wait")
    tracer = subprocess.Popen(
        [*argv, "--engine", engine, "--image", f"rootfs:{root}", "--", *app],
        stdout=subprocess.PIPE,
        env={**environment(), "TMPDIR": str(scratch)},
        text=True,
    )
    with tracer:
        assert tracer.stdout is not None
        if tracer.stdout.readline() != "ready\n":
            skip_missing("the right to make namespaces")
        assert [name.startswith(_PREFIX) for name in os.listdir(scratch)] == [True]
        tracer.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while processes(marker) or os.listdir(scratch):
        assert time.monotonic() < deadline, (processes(marker), os.listdir(scratch))
        time.sleep(0.02)
    assert describe_tree(root) == before


def test_a_killed_guard_leaves_nothing(tmp_path: Path, engine: str) -> None:
    root, scratch = busybox_root(tmp_path / "root"), tmp_path / "scratch"
    scratch.mkdir()
    argv = [sys.executable, "-m", "slimtrace", "-q", "run", "-o", str(tmp_path / "t")]
    tracer = subprocess.Popen(
        [*argv, "--engine", engine, "--image", f"rootfs:{root}", "--", "sh", "-c", BUSY],
        stdout=subprocess.PIPE,
        env={**environment(), "TMPDIR": str(scratch)},
        text=True,
    )
    with tracer:
        assert tracer.stdout is not None
        if tracer.stdout.readline() != "ready\n":
            skip_missing("the right to make namespaces")
        below = psutil.Process(tracer.pid).children()
        next(process for process in below if process.name() == "app guard").kill()
    assert tracer.returncode in (125, 137)
    assert os.listdir(scratch) == []


def test_folders_of_a_killed_guard_are_removed(inside: Callable[..., Ran], tmp_path: Path) -> None:
    """Folders in use and files of others with such names stay."""
    left, used = (tmp_path / "scratch" / f"{_PREFIX}{name}" for name in ("left", "used"))
    for folder in (left, used):
        (folder / "upper/made").mkdir(parents=True)
        os.utime(folder, (0, 0))
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        root = busybox_root(tmp_path / "root")
        arguments = (
            "-q",
            "run",
            "-o",
            str(tmp_path / "t"),
            "--image",
            f"rootfs:{root}",
            "--",
            "id",
        )
        assert run_slimtrace(*arguments).returncode == 0
        assert os.listdir(tmp_path / "scratch") == [used.name]
    finally:
        os.close(lock)


# ---- without an overlay


@pytest.mark.parametrize("fuse", [True, False], ids=["fuse-overlayfs", "a copy"])
def test_without_an_overlay(tmp_path: Path, fuse: bool) -> None:
    """The kernel does not stack an overlay's upper layer on another overlay, as in a container."""
    need_root()
    need("unshare", "mount", *(["fuse-overlayfs"] if fuse else []))
    root = busybox_root(tmp_path / "root", {"srv/a": "a\n"})
    os.mknod(root / "srv/zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    before = describe_tree(root)
    path = "/nowhere" if not fuse else os.environ["PATH"]
    if not fuse:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/cp").symlink_to("/bin/cp")
        path = str(tmp_path / "bin")
    setup = (
        f"mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged"
        f' && export PATH={path} TMPDIR={tmp_path}/merged && exec "$@"'
    )
    arguments = ("unshare", "-m", "sh", "-c", setup, "sh")
    done = subprocess.run(
        [
            *(*arguments, sys.executable, "-m", "slimtrace", "run", "-o", str(tmp_path / "t")),
            *("--image", f"rootfs:{root}", "--"),
            *script("cat /srv/a; rm /srv/a; echo x >/work/x; ls /work; cat /srv/zero || echo none"),
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, "a\nx\nnone\n"), done.stderr
    how = "fuse-overlayfs" if fuse else "a copy"
    assert f"writing to {how}: no overlay can be had here" in done.stderr
    assert describe_tree(root) == before
    assert os.listdir(tmp_path / "upper") == []
    document = json.loads(run_slimtrace("show", str(tmp_path / "t"), "--json").stdout)
    assert "/srv/a" in {entry["path"] for entry in document["files"]}
