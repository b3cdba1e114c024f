"""Start, exec and end of processes, and programs that use the kernel features of a tracer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hazards import Hazard, check_hazard, parametrize_hazards
from requirements import need

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace, Tracee


@parametrize_hazards(
    Hazard(
        "children by clone3, CLONE_UNTRACED and CLONE_PARENT",
        "clone_flags",
        tree=dict.fromkeys(("clone3", "untraced", "parent"), ""),
        expected=dict.fromkeys(("clone3", "untraced", "parent"), "file read"),
    ),
    Hazard(
        "a process with another PID in its own PID namespace",
        "pid_namespace",
        tree={"sub/file": ""},
        expected={"sub": "file chdir", "sub/file": "file read"},
    ),
    Hazard(
        "a daemon that opens a file after the first process has ended",
        "daemon",
        tree={"early": "", "late": ""},
        expected={
            "early": "file read",
            "late": "file read",
            "pidfile": "created create write",
        },
        status=3,
    ),
    Hazard(
        "a leader that ends before its thread",
        "leader_exits_first",
        tree={"before": "", "after the leader": ""},
        expected={"before": "file read", "after the leader": "file read"},
        status=5,
    ),
    Hazard(
        "an executable in a memfd, and one deleted while it runs",
        "memfd_exec",
        tree={"from memory": "", "from a deleted file": ""},
        expected={
            "from memory": "file read",
            "from a deleted file": "file read",
            "copy": "created create delete exec write",
        },
    ),
    Hazard(
        "the program's own filters refuse some of its calls",
        "own_seccomp",
        tree={"file": "", "kept": ""},
        expected={"file": "file read"},
        # PTRACE_SYSCALL stops before the filters run.
        expected_under={
            "ptrace-syscall": {"kept": "file delete", "refused": "created create"},
        },
    ),
    Hazard(
        "the program adds its own seccomp listener",
        "own_listener",
        tree={"file": ""},
        expected={"file": "file read"},
        gaps=frozenset({"own-listener"}),
        gaps_under={"ptrace-syscall": frozenset()},
    ),
    Hazard(
        "the program traces its own child",
        "ptrace_child",
        tree={"file": ""},
        expected={"file": "file read"},
        gaps=frozenset({"own-tracer"}),
        gaps_under={"notify": frozenset()},
    ),
    Hazard(
        "a file opened through io_uring, which is refused",
        "io_uring_open",
        tree={"file": ""},
        expected={"file": "file read"},
        gaps=frozenset({"io-uring-refused"}),
    ),
    Hazard(
        "a 32-bit program",
        "i386_open",
        flags=("-m32",),
        tree=dict.fromkeys(("openat", "open", "stat", "deleted"), ""),
        expected={
            "openat": "file read",
            "open": "file read",
            "stat": "file stat",
            "deleted": "file delete",
            "made": "created create write",
            "socket": "missing connect",
        },
        status=0,
    ),
    Hazard(
        "32-bit calls of a 64-bit program",
        "int80_open",
        tree=dict.fromkeys(("by-int80", "deleted", "by-syscall"), ""),
        expected={
            "by-int80": "file read",
            "by-syscall": "file read",
            "deleted": "file delete",
        },
    ),
    Hazard(
        "x32 calls of a 64-bit program",
        "x32_open",
        tree={"by-x32": "", "by-syscall": ""},
        expected={"by-x32": "file read", "by-syscall": "file read"},
    ),
)
def test_processes(hazard: Hazard, traced: Trace, tracee: Tracee) -> None:
    check_hazard(hazard, traced, tracee)


def test_an_exec_by_a_thread_other_than_the_leader(traced: Trace, tracee: Tracee) -> None:
    program = tracee("thread_exec")
    run = traced([program, "."], tree={"before": "", "after": ""})
    assert run.status == 0, run.stderr
    first, second = run.document["processes"]
    assert (first["exe"], first["parent"], first["exit_status"]) == (program, None, None)
    assert (second["exe"], second["parent"], second["exit_status"]) == (program, first["id"], 0)
    assert second["argv"] == [program, ".", "second"]
    name = os.path.basename(program)
    assert run.users("before") == [[name, "."]]
    assert run.users("after") == [[name, ".", "second"]]


def test_an_exec_by_a_vfork_child(traced: Trace, tracee: Tracee) -> None:
    program = tracee("vfork_exec")
    run = traced([program, "."], tree={"child": "", "parent": ""})
    assert run.status == 0, run.stderr
    name = os.path.basename(program)
    assert run.users("child") == [[name, ".", "child"]]
    assert run.users("parent") == [[name, "."]]
    assert [image["exit_status"] for image in run.document["processes"]] == [0, 0]


def test_a_daemon_belongs_to_its_first_image(traced: Trace, tracee: Tracee) -> None:
    """A daemon's paths belong to the process image from which it was forked twice."""
    script = 'first=$1; shift; "$first" . ; "$@"; exit 0'
    daemon, other = tracee("daemon"), tracee("vfork_exec")
    run = traced(
        ["sh", "-c", script, "sh", daemon, other, "."],
        tree=dict.fromkeys(("early", "late", "child", "parent"), ""),
    )
    assert run.status == 0, run.stderr
    for name in ("early", "late", "pidfile"):
        assert run.users(name) == [[os.path.basename(daemon), "."]]
    assert run.users("parent") == [[os.path.basename(other), "."]]


@pytest.mark.parametrize(
    "debugger",
    [["strace", "-f", "-o", "log"], ["gdb", "-batch", "-ex", "run", "--args"]],
    ids=["strace", "gdb"],
)
def test_a_debugger_in_the_app(traced: Trace, engine: str, debugger: list[str]) -> None:
    """It works if the engine does not use ptrace; otherwise it fails and the trace has a gap."""
    need(debugger[0])
    run = traced([*debugger, "cat", "file"], tree={"file": "content\n"})
    if engine == "notify":
        assert run.status == 0, run.stderr
        assert "content" in run.stdout
        assert run.gaps() == set()
        assert run.touches()["file"].startswith("file read")
        assert ["cat", "file"] in run.users("file")
    else:
        assert run.gaps() == {"own-tracer"}
        assert run.run["complete"] is False


def test_a_script_with_a_nul_in_its_first_line(traced: Trace) -> None:
    """The kernel reads the line up to the NUL; binary data may follow, as in a shell archive."""
    tree = {"script": f"#!{shutil.which('echo')}\0 nothing\n"}
    run = traced(["./script", "given"], tree=tree)
    assert (run.status, run.stdout) == (0, "./script given\n")
    assert run.gaps() == set()
    assert str(shutil.which("echo")) in run.paths("file")


def test_the_process_tree_of_a_shell(traced: Trace) -> None:
    run = traced(
        ["bash", "-c", "cat one | (cat - two; exit 7) | cat >/dev/null; (exec cat three); exit 9"],
        tree=dict.fromkeys(("one", "two", "three"), ""),
    )
    assert run.status == 9
    images = {image["id"]: image for image in run.document["processes"]}
    actual = [
        (
            os.path.basename(image["exe"]),
            image["argv"][1:],
            image["parent"] and os.path.basename(images[image["parent"]]["exe"]),
            image["exit_status"],
        )
        for image in images.values()
    ]
    assert sorted(actual, key=str) == sorted(
        [
            ("bash", run.run["command"][1:], None, 9),
            ("cat", ["one"], "bash", 0),
            ("cat", ["-", "two"], "bash", 0),
            ("cat", [], "bash", 0),
            ("cat", ["three"], "bash", 0),
        ],
        key=str,
    )
    for name, user in (("one", ["cat", "one"]), ("two", ["cat", "-", "two"])):
        assert run.users(name) == [user]


def test_a_chain_of_script_interpreters(tmp_path: Path, traced: Trace) -> None:
    """Four scripts and a program: the kernel itself opens the interpreters (execve(2))."""
    work = tmp_path / "work"
    tree = {
        "first": f"#!{work}/second argument\n",
        "second": "#! ./third\n",
        "third": "#!\tfourth \n",
        "fourth": f"#!{shutil.which('echo')}\n",
    }
    run = traced(["./first", "given"], tree=tree)
    assert run.status == 0, run.stderr
    assert run.stdout == f"fourth ./third {work}/second argument ./first given\n"
    assert run.touches() == dict.fromkeys(("first", "second", "third", "fourth"), "file exec")
    uses = {path: entry["uses"] for _, path, entry in run.entries()}
    assert "exec" in uses[str(shutil.which("echo"))]
    (image,) = run.document["processes"]
    assert os.path.samefile(image["exe"], str(shutil.which("echo")))


def test_an_interpreter_by_binfmt_misc(traced: Trace) -> None:
    """The kernel chooses it by the program's first bytes, from a table in its memory."""
    cat = os.path.realpath(str(shutil.which("cat")))
    register = f"mount -t binfmt_misc none table && echo ':x:M::MAGIC::{cat}:' >table/register"
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    need("unshare")
    tree = {"program": "MAGIC\n", "table/": ""}
    with tempfile.TemporaryDirectory() as folder:
        tried = [*prefix, register]
        os.mkdir(os.path.join(folder, "table"))
        if subprocess.run(tried, check=False, cwd=folder, capture_output=True).returncode != 0:
            pytest.skip("missing here: binfmt_misc in a user namespace (Linux 6.7)")
    start = ["sh", "-c", "chmod +x program; exec ./program"]
    run = traced(start, tree=tree, prefix=(*prefix, f'{register} && exec "$@"', "sh"))
    assert (run.status, run.stdout) == (0, "MAGIC\n")
    assert run.document["processes"][-1]["exe"] == cat
    assert {path: set(entry["uses"]) for _, path, entry in run.entries()}[cat] == {"exec"}
    assert "exec" in run.touches()["program"]


def test_a_chain_too_long_for_the_kernel(traced: Trace) -> None:
    tree = {str(i): f"#!./{i + 1}\n" for i in range(10)}
    run = traced(["sh", "-c", "./0 || exit 4"], tree=tree)
    assert run.status == 4
    assert "exec" in run.touches()["0"]


def test_the_loader_of_a_program_is_recorded(traced: Trace, tracee: Tracee) -> None:
    program = tracee("names")
    need("readelf")
    headers = subprocess.run(
        ["readelf", "-lW", program], check=True, capture_output=True, text=True
    ).stdout
    loader = headers.split("program interpreter: ")[1].split("]")[0]
    run = traced([program, "nowhere"])
    assert run.status == 1
    assert loader in run.paths("file")


@pytest.mark.parametrize(
    ("given", "status"),
    [("exit 0", 0), ("exit 77", 77), ("kill -KILL $$", 137), ("kill -TERM $$", 143)],
)
def test_the_exit_status_of_each_image(traced: Trace, given: str, status: int) -> None:
    run = traced(["sh", "-c", f"sh -c '{given}'; exit 5"])
    assert run.status == 5
    assert [image["exit_status"] for image in run.document["processes"]] == [5, status]


def test_chains_of_execs(traced: Trace, tracee: Tracee) -> None:
    program = tracee("exec_chain", "-static")
    run = traced([program])
    assert run.status == 0, run.stderr
    last = {image["id"]: image["argv"][-1] for image in run.document["processes"] if image["argv"]}
    chains = Counter(
        (last[image["parent"]], image["argv"][-1])
        for image in run.document["processes"]
        if image["parent"] and image["argv"]
    )
    assert {step: chains[step] for step in ((program, "2"), ("2", "1"))} == {
        (program, "2"): 120,
        ("2", "1"): 120,
    }
    assert chains.keys() == {(program, "2"), ("2", "1"), ("1", "0")}


def test_an_exec_that_fails_though_the_program_exists(traced: Trace) -> None:
    """execvp(3) writes each candidate of the PATH to the same memory."""
    tree = {"a/program": "", "b/program": "#!/bin/sh\nread line <after\n", "after": "\n"}
    run = traced(["sh", "-c", 'PATH="$PWD/a:$PWD/b:$PATH" exec env program'], tree=tree)
    assert run.status == 0, run.stderr
    programs = [os.path.basename(image["argv"][0]) for image in run.document["processes"]]
    assert programs == ["sh", "env", "sh"]
    assert run.users("a/program") == [["env", "program"]]
    assert run.users("after") == [["sh", os.path.join(run.directory, "b/program")]]


def test_an_exec_that_fails_and_unmaps_its_name(traced: Trace, tracee: Tracee) -> None:
    program = tracee("exec_fails")
    run = traced([program, "."], tree={"after": ""})
    assert run.status == 0, run.stderr
    assert [image["argv"] for image in run.document["processes"]] == [[program, "."], [program]]
    assert run.users("after") == [[os.path.basename(program), "."]]


@pytest.mark.parametrize("engine", ["notify"])
def test_children_that_start_while_another_thread_execs(traced: Trace, tracee: Tracee) -> None:
    """Under ptrace, the exec may kill the thread before its last fork event."""
    program = tracee("forks_while_exec", "-pthread")
    run = traced([program, "."], tree={"child": "", "after": ""})
    assert run.status == 0, run.stderr
    name = os.path.basename(program)
    assert run.users("child") == [[name, "."]]
    assert run.users("after") == [[name, ".", "second"]]


def test_a_script_whose_interpreter_ran_before(traced: Trace) -> None:
    shell = shutil.which("sh")
    tree = {"script": f"#!{shell}\nread line <file\n", "file": "\n"}
    run = traced([str(shell), "-c", "./script; ./script; exit 0"], tree=tree)
    assert run.status == 0, run.stderr
    _, *scripts = (image["argv"] for image in run.document["processes"])
    assert scripts == [[shell, "./script"]] * 2


CHILD_WAITS = """
import os
wait, go = os.pipe()
end, tell = os.pipe()
if os.fork() == 0:
    os.close(go)
    os.read(wait, 1)
    open("by-child").close()
    os._exit(0)
os.close(tell)
os.set_inheritable(go, True)
os.set_inheritable(end, True)
os.execvp("sh", ["sh", "-c", f"read line <by-parent; exec {go}>&-; read line <&{end}; :"])
"""


def test_a_child_whose_parent_execs_first(traced: Trace) -> None:
    """An entrypoint starts a subshell in the background, then the app with exec."""
    run = traced([sys.executable, "-c", CHILD_WAITS], tree={"by-child": "", "by-parent": "\n"})
    assert run.status == 0, run.stderr
    assert [arguments[0] for arguments in run.users("by-parent")] == ["sh"]
    assert [arguments[-1] for arguments in run.users("by-child")] == [CHILD_WAITS]


def test_an_orphan_that_the_app_adopts(traced: Trace) -> None:
    """Supervisors such as tini adopt orphans: the new parent did not start them."""
    need("perl")
    adopt = (
        "import ctypes, os; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); "
        "os.spawnlp(os.P_WAIT, 'perl', 'perl', '-e', "
        "'if (!fork()) { select(undef, undef, undef, .3); open(F, q(file)) }'); os.wait()"
    )
    python = os.path.realpath(sys.executable)
    run = traced([python, "-IBSc", adopt], tree={"file": ""})
    assert run.status == 0, run.stderr
    assert [user[0] for user in run.users("file")] == ["perl"]


def test_a_spawn_that_fails_makes_no_process_image(traced: Trace) -> None:
    spawn = "import os\ntry: os.posix_spawn('./none', ['none'], {})\nexcept OSError: os._exit(3)"
    python = os.path.realpath(sys.executable)
    script = 'chmod 700 none; exec "$0" -IBSc "$1"'
    run = traced(["sh", "-c", script, python, spawn], tree={"none": "not a program\n"})
    assert run.status == 3, run.stderr
    programs = [image["argv"][0] for image in run.document["processes"]]
    assert sorted(programs) == sorted(["sh", "chmod", python])
    assert "exec" in run.touches()["none"]
