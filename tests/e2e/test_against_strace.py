"""Real programs under strace and slimtrace: no path is lost, and none is added without a reason.

Each program runs three times in the same tree: to fill its caches, under strace, and under
slimtrace.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from programs import PROGRAMS
from requirements import need
from strace_log import TRACED, read_log
from traces import SECONDS, command, decode_text, environment, make_tree, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from programs import Program
    from strace_log import Log

# Names that differ in each run of a program, since they are chosen at random or contain a PID.
# TMPDIR is a folder ``scratch``.
INHERENT = (
    (r"^/proc/\d+(?=/|$)", "/proc/PID", "process ids"),
    (r"/scratch/cc\w{6}(?=\.|$)", "/scratch/ccNAME", "gcc's temporary files"),
    (r"/(tmp_obj|tmp_pack|tmp_idx|tmp_rev|tmp_mtimes|tmp_bitmap)_\w{6}$", r"/\1_NAME", "git's"),
    (r"/info/(packs|refs)_\w{6}$", r"/info/\1_NAME", "git's"),
    (r"/\.tmp-\d+-", "/.tmp-PID-", "git gc's temporary packs"),
    (r"/\.git/t[A-Za-z0-9]{6}$", "/.git/tNAME", "git asks whether it can make symlinks"),
    (r"/hsperfdata_(\w+)/\d+$", r"/hsperfdata_\1/PID", "Java's counters"),
    (r"/\.java_pid\d+$", "/.java_pidPID", "Java's attach socket"),
    (r"/scratch/go-(build|link-)\d+(?=/|$)", r"/scratch/go-\1N", "go's folders of one build"),
    (r"/scratch/GMfifo\d+$", "/scratch/GMfifoPID", "make's job server, since make 4.4"),
    (r"/scratch/[a-z0-9_]{8}$", "/scratch/PROBE", "Python asks whether it can write there"),
    (r"/scratch/pip-([a-z-]+)-[a-z0-9_]{8}(?=/|$)", r"/scratch/pip-\1-NAME", "pip's folders"),
    (r"/(INSTALLER|RECORD|direct_url\.json)[a-z0-9_]{8}\.tmp$", r"/\1NAME.tmp", "pip's records"),
    (r"\.pyc\.\d+$", ".pyc.N", "Python writes bytecode under another name first"),
    (r"/scratch/dpkg-deb\.\w{6}$", "/scratch/dpkg-deb.NAME", "dpkg-deb's archive members"),
    (r"/temp-(rewriteaof-)?\d+\.(rdb|aof)$", r"/temp-\1PID.\2", "redis writes them first"),
    (r"^/dev/shm/PostgreSQL\.\d+$", "/dev/shm/PostgreSQL.N", "PostgreSQL's shared memory"),
    (r"/pg_wal/xlogtemp\.\d+$", "/pg_wal/xlogtemp.PID", "PostgreSQL writes it first"),
    (r"/pg_internal\.init\.\d+$", "/pg_internal.init.PID", "PostgreSQL writes it first"),
    (r"/scratch/etilqs_[0-9a-f]{16}$", "/scratch/etilqs_NAME", "SQLite's temporary files"),
)


def _interpreters(programs: set[str]) -> set[str]:
    found = set[str]()
    for program in programs:
        try:
            with open(program, "rb") as file:
                if file.read(2) == b"#!":
                    found.add(os.fsdecode(file.readline().split()[0]))
                else:
                    for segment in ELFFile(file).iter_segments("PT_INTERP"):
                        found.add(os.fsdecode(segment.data().rstrip(b"\0")))
        except (
            FileNotFoundError,
            ELFError,
        ):  # deleted after the run; neither a script nor an ELF file
            continue
    return found | _interpreters(found) if found else found


def _find_kernel_paths(log: Log) -> set[str]:
    return log.executed | _interpreters(log.executed)


# Reasons for paths in a trace that are in no call, with a function that returns these paths.
EXPLAINED = (
    ("the kernel opens the interpreters of programs and scripts", _find_kernel_paths),
    (
        "the kernel says by its own path which program it runs",
        lambda log: {os.path.realpath(path) for path in _find_kernel_paths(log)},
    ),
    (
        "once the run made symlinks, a file is also named by its own path",
        lambda log: {os.path.realpath(path) for path in log.succeeded if log.links},
    ),
)


@pytest.fixture
def home() -> Iterator[Path]:
    """Make a folder that other users can reach; another pytest may close those of pytest."""
    with tempfile.TemporaryDirectory(prefix="slimtrace-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.summary)
def test_strace_and_slimtrace_see_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    monkeypatch.setenv("PATH", _search_path())
    need("strace", program.argv[0], *program.needs)
    env = _make_environment(home)
    work = str(home / "work")
    _run(program.argv, make_tree(work, program.tree), env)  # the first run fills caches
    log = _strace(program, _make_fresh_tree(work, program.tree), env)
    output = str(home / "app.trace")
    argv = command("-q", "run", "-o", output, "--", *program.argv)
    _run(argv, _make_fresh_tree(work, program.tree), env)
    document = show(output)
    assert document["runs"][0]["gaps"] == []

    present = {
        decode_text(entry, "path") for key in ("files", "created") for entry in document[key]
    }
    absent = {decode_text(entry, "path") for entry in document["missing"]}
    succeeded = _generalize(log.succeeded)
    assert succeeded - _generalize(present) == set(), (
        "calls with these paths succeeded under strace"
    )
    explained = {path for _reason, paths in EXPLAINED for path in _generalize(paths(log))}
    added = _generalize(present) - succeeded - _generalize(log.refused)
    assert added - explained == set(), "these paths were not in strace's log, or missing there"
    looked_for = succeeded | _generalize(log.refused | log.absent)
    assert _generalize(absent) - looked_for == set(), "the app did not look up these paths"


def _strace(program: Program, cwd: str, env: Mapping[str, str]) -> Log:
    prefix = os.path.join(os.path.dirname(cwd), "log")
    options = ("-ff", "-y", "-qq", "-s", "0", "-e", f"trace={TRACED}", "-e", "signal=none")
    _run(["strace", *options, "--seccomp-bpf", "-o", prefix, *program.argv], cwd, env)
    return read_log(prefix, cwd)


def _make_fresh_tree(work: str, tree: Mapping[str, str]) -> str:
    shutil.rmtree(work)
    return make_tree(work, tree)


def _search_path() -> str:
    """Return a PATH with Debian's directories of services and of each PostgreSQL version."""
    return os.pathsep.join(
        (os.environ["PATH"], "/usr/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin")))
    )


def _make_environment(home: Path) -> dict[str, str]:
    """Return an environment in which two runs make the same calls: times and names are fixed.

    All threads have one malloc arena: for the others, glibc sometimes reads the kernel's
    overcommit setting.
    """
    scratch = home / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)
    who = {f"GIT_{role}_NAME": "somebody" for role in ("AUTHOR", "COMMITTER")}
    mail = {f"GIT_{role}_EMAIL": "somebody@example.org" for role in ("AUTHOR", "COMMITTER")}
    date = {f"GIT_{role}_DATE": "2024-01-01T00:00:00Z" for role in ("AUTHOR", "COMMITTER")}
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "1"}
    return environment(**who, **mail, **date, **quiet, HOME=str(home), TMPDIR=str(scratch))


def _run(argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        argv, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _generalize(paths: set[str]) -> set[str]:
    """Replace the parts of paths that differ in each run."""
    for pattern, general, _reason in INHERENT:
        paths = {re.sub(pattern, general, path) for path in paths}
    return paths
