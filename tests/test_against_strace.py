"""Real programs, seen by strace and by slimtrace: the same paths, none lost and none invented."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from parts import need
from strace_log import TRACED, read_log
from traces import SECONDS, command, environment, grow, show, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from strace_log import Log

HELLO = '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'
GIT = """
git init -q . && git add . && git commit -q -m first && echo more >>a && git status --short
git commit -q -a -m second && git log --stat >log && git checkout -q -b side HEAD~1
git merge -q side && git gc -q
"""
PERL = """
use File::Find; use File::Temp; use POSIX; use Data::Dumper;
find(sub { -f and open(my $f, "<", $_) and <$f> }, ".");
rename "a", "renamed"; mkdir "made"; chmod 0600, "renamed"; symlink "made", "link";
"""

NODE = """
const fs = require("fs"); require("./a"); require("crypto").randomBytes(4);
fs.readFileSync("a.js");
Promise.all([1, 2, 3].map(n => fs.promises.stat(`none${n}`).catch(() => 0)));
"""
JAVA = """
public class Hello { public static void main(String[] a) throws Exception {
  java.nio.file.Files.writeString(java.nio.file.Path.of("out"), "hello"); } }
"""

# What two runs of one program cannot have in common: names that are made up anew each time.
INHERENT = (
    (r"^/proc/\d+(?=/|$)", "/proc/PID", "process ids"),
    (r"/cc\w{6}(?=\.|$)", "/ccNAME", "gcc's temporary files"),
    (r"/(tmp_obj|tmp_pack|tmp_idx|tmp_rev|tmp_mtimes|tmp_bitmap)_\w{6}$", r"/\1_NAME", "git's"),
    (r"/info/(packs|refs)_\w{6}$", r"/info/\1_NAME", "git's"),
    (r"/\.tmp-\d+-", "/.tmp-PID-", "git gc's temporary packs"),
    (r"/gc\.pid\.lock$|/gc\.pid$", "/gc.pid", "git gc's lock"),
    (r"/hsperfdata_(\w+)/\d+$", r"/hsperfdata_\1/PID", "Java's counters"),
    (r"/\.java_pid\d+$", "/.java_pidPID", "Java's attach socket"),
    (r"/t[A-Za-z0-9]{6}$", "/tNAME", "git probes whether the file system knows symlinks"),
)


EXTRA = ("node", "java")
"""Large: tried where they are, missed nowhere."""


@dataclass(frozen=True)
class Program:
    summary: str
    argv: Sequence[str]
    tree: Mapping[str, str] = field(default_factory=dict)


PROGRAMS = (
    Program("python imports", [sys.executable, "-c", "import json, ssl, sqlite3, subprocess"]),
    Program("git", ["sh", "-ec", GIT], {"a": "1\n", "sub/b": "2\n", "link": "-> a"}),
    Program(
        "find",
        ["find", ".", "-newer", "a", "-o", "-type", "l", "-o", "-name", "*.c", "-size", "+1k"],
        {"a": "", "b.c": "", "sub/deeper/c.c": "", "sub/link": "-> ../a", "sub/loop": "-> ."},
    ),
    Program("gcc", ["gcc", "-O1", "-o", "hello", "hello.c"], {"hello.c": HELLO}),
    Program(
        "a bash pipeline",
        ["bash", "-c", "cat [ab] | sort -r | tee c | wc -l; cd sub; ls -l >../d; . ./e; [ -w / ]"],
        {"a": "1\n", "b": "2\n", "sub/e": "cd ..; cat <(cat a) >/dev/null; rm b; exec stat a\n"},
    ),
    Program("perl", ["perl", "-e", PERL], {"a": "1\n", "sub/b": "2\n"}),
    Program(
        "node", ["node", "-e", NODE], {"a.js": "exports.a = require('./sub/b');", "sub/b.js": ""}
    ),
    Program("java", ["java", "-Xshare:off", "Hello.java"], {"Hello.java": JAVA}),
    Program(
        "cp and tar",
        ["sh", "-ec", "cp -a sub copy; tar -czf t.tgz copy; tar -xzf t.tgz -C x"],
        {"sub/a": "1\n", "sub/link": "-> a", "x/": ""},
    ),
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.summary)
def test_strace_and_slimtrace_see_the_same(tmp_path: Path, program: Program) -> None:
    if program.argv[0] in EXTRA and shutil.which(program.argv[0]) is None:
        pytest.skip(f"missing here: {program.argv[0]}")
    need("strace", program.argv[0])
    env = _settled(str(tmp_path))
    work = str(tmp_path / "work")
    _run(program.argv, grow(work, program.tree), env)  # caches that the first run fills are full
    log = _strace(program, _fresh(work, program.tree), env)
    output = str(tmp_path / "app.trace")
    words = command("-q", "run", "-o", output, "--", *program.argv)
    _run(words, _fresh(work, program.tree), env)
    document = show(output)
    assert document["runs"][0]["gaps"] == []

    present = {text(entry, "path") for key in ("files", "created") for entry in document[key]}
    absent = {text(entry, "path") for entry in document["missing"]}
    lost = _general(log.succeeded) - _general(present)
    assert lost == set(), "strace saw them succeed"
    seen = _general(log.succeeded | log.failed)
    invented = {path for path in present if not os.path.lexists(path)}
    assert _general(invented) - seen == set(), "they are not there, and strace did not see them"
    assert _general(absent) - seen == set(), "the app did not look for them"


def _strace(program: Program, cwd: str, env: Mapping[str, str]) -> Log:
    prefix = os.path.join(os.path.dirname(cwd), "log")
    options = ("-ff", "-y", "-qq", "-v", "-s", "0", "-e", f"trace={TRACED}", "-e", "signal=none")
    _run(["strace", *options, "-o", prefix, *program.argv], cwd, env)
    return read_log(prefix, cwd)


def _fresh(work: str, tree: Mapping[str, str]) -> str:
    shutil.rmtree(work)
    return grow(work, tree)


def _settled(home: str) -> dict[str, str]:
    """An environment in which two runs do the same: times and names are fixed."""
    who = {f"GIT_{role}_NAME": "somebody" for role in ("AUTHOR", "COMMITTER")}
    mail = {f"GIT_{role}_EMAIL": "somebody@example.org" for role in ("AUTHOR", "COMMITTER")}
    date = {f"GIT_{role}_DATE": "2024-01-01T00:00:00Z" for role in ("AUTHOR", "COMMITTER")}
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": home}
    return environment(**who, **mail, **date, **quiet)


def _run(words: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        words, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr


def _general(paths: set[str]) -> set[str]:
    """The paths, with what is made up anew at each run replaced."""
    for pattern, general, _reason in INHERENT:
        paths = {re.sub(pattern, general, path) for path in paths}
    return paths
