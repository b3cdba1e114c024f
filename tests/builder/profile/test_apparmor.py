"""AppArmor profiles, read by the real parser, which prints the meaning of each rule."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root, make_run, make_trace
from requirements import need
from traces import make_tree, run_slimtrace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.full_image import open_full_image
from slimtrace.builder.pipeline import select
from slimtrace.builder.profile.apparmor.apparmor_profile import render_profile
from slimtrace.builder.profile.apparmor.kernel_paths import find_kernel_patterns, quote_path
from slimtrace.tracer.trace.trace import State, Trace, TracedPath, Use

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root

PID = "@{PROC}/@{pid}"
RULE = re.compile(rb"^rule: (.*?)  ->  .*?\(0x[0-9a-f]+/", re.MULTILINE | re.DOTALL)
NAMES = [
    *("/plain", "/sp ace", '/qu"ote', "/back\\slash", "/com,ma", "/ha#sh", "/at@{PROC}", "/car^et"),
    *("/st*ar", "/qu?estion", "/br[ack]et", "/cur{l,y}", "/tilde~", "/\n\t\x01\x7f", "/ende\\"),
    *("/grün", os.fsdecode(b"/n\xff\xfe8"), "/\\101", "/(x|y)+.$"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_means_itself(tmp_path: Path, name: str) -> None:
    profile = tmp_path / "x"
    profile.write_text(f"profile x {{\n  {quote_path(name)} r,\n}}\n", encoding="ascii")
    assert dump_patterns(profile) == {os.fsencode(name)}


def test_the_profile_of_a_small_image(tmp_path: Path) -> None:
    root = make_root(
        tmp_path / "root",
        {
            "/bin": "-> usr/bin",
            "/usr/bin/app": b"#!/usr/bin/sh\n",
            "/usr/bin/sh": b"",
            "/usr/lib/one": b"",
            **{f"/usr/share/many/{number}": b"" for number in range(5)},
            "/etc/app conf": b"",
            "/etc/many/1": b"",
            "/srv/data/old": b"",
            "/srv/data/keep": b"",
            "/tmp": None,
        },
        **{"/usr/bin/app": 0o755, "/usr/bin/sh": 0o755},
    )
    of = make_trace(
        root,
        {
            "/bin/app": (Use.EXEC,),
            "/usr/lib/one": (Use.READ,),
            **{f"/usr/share/many/{number}": (Use.READ,) for number in range(5)},
            "/usr/share/many": (Use.LIST,),
            "/etc/app conf": (Use.STAT,),
            "/srv/data/old": (Use.DELETE,),
            "/srv/data/keep": (Use.READ,),
        },
        created=[
            "/srv/data/new/deep",
            "/srv/data/new",
            "/tmp/x",
            "/usr/bin/made",
            "/top/x",
            "/top",
        ],
    )
    assert file_rules(of) == {
        '"/"': "r",
        '"/etc/"': "r",
        '"/etc/app conf"': "mr",
        '"/etc/group"': "mr",
        '"/etc/passwd"': "mr",
        '"/home/"': "r",
        '"/home/nonroot/"': "r",
        '"/run/"': "r",
        '"/srv/"': "r",
        '"/srv/data/"': "r",
        '"/srv/data/keep"': "r",
        '"/srv/data/old"': "rwkl",
        '"/srv/data/{,**}"': "rwkl",
        '"/tmp/"': "r",
        '"/tmp/{,**}"': "rwkl",
        '"/top"': "rwkl",
        '"/top/{,**}"': "rwkl",
        '"/usr/"': "r",
        '"/usr/bin/"': "r",
        '"/usr/bin/app"': "mrix",
        '"/usr/bin/made"': "rwkl",
        '"/usr/bin/made/{,**}"': "rwkl",
        '"/usr/bin/sh"': "mrix",
        '"/usr/lib/"': "r",
        '"/usr/lib/one"': "mr",
        '"/usr/share/"': "r",
        '"/usr/share/many/"': "r",
        '"/usr/share/many/*"': "mr",
    }


def test_volumes(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", {"/app": b"", "/data": None, "/conf": None})
    of = make_trace(
        *(root, ["/app", "/data/x"]),
        volumes=("/data", "/conf"),
        mounts=("/srv/d:/data", "/srv/c:/conf:ro"),
    )
    rules = file_rules(of)
    assert (rules['"/data{,/**}"'], rules['"/conf{,/**}"']) == ("rwkl", "r")


@pytest.mark.parametrize(
    ("path", "uses", "expected"),
    [
        ("/proc/self/maps", {Use.READ}, {f'"{PID}/maps"': "r"}),
        ("/proc/4711/status", {Use.READ}, {f'"{PID}/status"': "r"}),
        ("/proc/thread-self/attr/exec", {Use.WRITE}, {f'"{PID}/attr/exec"': "rw"}),
        ("/proc/12/task/13/comm", {Use.WRITE}, {f'"{PID}/task/@{{tid}}/comm"': "rw"}),
        ("/proc/self/fd/7", {Use.READLINK}, {f'"{PID}/fd/[0-9]*"': "r"}),
        ("/proc/self/task", {Use.LIST}, {f'"{PID}/task"': "r", f'"{PID}/task/"': "r"}),
        ("/proc/sys/kernel/osrelease", {Use.READ}, {'"@{PROC}/sys/kernel/osrelease"': "r"}),
        ("/proc/self[1]", {Use.READ}, {'"@{PROC}/self\\[1\\]"': "r"}),
        ("/sys/fs/cgroup/cpu.max", {Use.READ}, {'"/sys/fs/cgroup/cpu.max"': "r"}),
        ("/dev/pts/3", {Use.WRITE}, {}),
        ("/dev/shm/x", {Use.CREATE}, {'"/dev/shm/x"': "rw"}),
        ("/etc/passwd", {Use.READ}, {}),
    ],
)
def test_what_the_kernel_shows(path: str, uses: set[Use], expected: dict[str, str]) -> None:
    state = State.CREATED if Use.CREATE in uses else State.FILE
    of = Trace(paths={path: TracedPath(path, state, frozenset(uses), (1,), 0.0, None)})
    usual = find_kernel_patterns(Trace())
    assert {
        key: dumped for key, dumped in find_kernel_patterns(of).items() if key not in usual
    } == expected
    assert usual.items() <= find_kernel_patterns(of).items()


@pytest.mark.parametrize(
    ("observed", "families", "expected"),
    [
        ((), (), {"network unix", "unix"}),
        (("socket",), (2,), {"network unix", "unix", "network inet", "network inet6"}),
        (("socket",), (17, 9999), {"network unix", "unix", "network packet"}),
        (("mount", "umount2"), (), {"network unix", "unix", "mount", "umount"}),
    ],
)
def test_what_it_may_do(
    tmp_path: Path, observed: tuple[str, ...], families: tuple[int, ...], expected: set[str]
) -> None:
    root = make_root(tmp_path / "root", {"/app": b""})
    of = Trace((make_run(root),), observed_syscalls=observed, arguments={"socket": families})
    lines = [line.strip(" ,") for line in render_profile(of, *select_entries(of), "x")]
    keyargv = ("network", "unix", "mount", "umount", "pivot_root")
    assert {line for line in lines if line.split(" ")[0] in keyargv} == expected


def test_a_real_app(tmp_path: Path) -> None:
    """The parser accepts its profile, whatever the names of its files."""
    odd = os.fsdecode(b'o\xffd [x] {a,b} "q" \\ *')
    work = make_tree(
        str(tmp_path / "work"), {odd: "", "program": "#!/bin/sh\ncat /proc/self/maps\n"}
    )
    trace, profile = str(tmp_path / "app.trace"), tmp_path / "app.aa"
    script = 'exec >out; ./program; cat "$1"; mkdir made; ls /proc/$$/fd >made/list'
    argv = ("-q", "run", "-o", trace, "--", "sh", "-c", script, "sh", odd)
    assert run_slimtrace(*argv, cwd=work).returncode == 0
    done = run_slimtrace("profile", trace, "--apparmor", str(profile), "--name", "an-app.1")
    assert done.returncode == 0, done.stderr
    dumped = dump_patterns(profile)
    assert os.fsencode(os.path.join(work, odd)) in dumped
    assert os.fsencode(os.path.join(work, "program")) in dumped
    assert b"profile an-app.1 " in profile.read_bytes()
    stdout = run_slimtrace("profile", trace, "--apparmor", "-", "--name", "an-app.1").stdout
    assert stdout == profile.read_text()


def select_entries(of: Trace) -> tuple[Root, Selection]:
    root = open_full_image(of).root
    return root, select(of, root, BuildOptions())


def file_rules(of: Trace) -> dict[str, str]:
    """The rules for the image's files, from the profile's lines: path to permissions."""
    lines = [line.strip() for line in render_profile(of, *select_entries(of), "x")]
    quoted = [line for line in lines if line.startswith('"')]
    rules = dict(line.removesuffix(",").rsplit(" ", 1) for line in quoted)
    return {path: dumped for path, dumped in rules.items() if path not in find_kernel_patterns(of)}


def dump_patterns(profile: Path) -> set[bytes]:
    """The patterns of a profile as the parser reads them, or plain paths.

    The parser dumps regular expressions, in which a backslash escapes a character.
    """
    need("apparmor_parser")
    argv = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--dump=rule-exprs"]
    done = subprocess.run([*argv, str(profile)], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"warning" not in done.stderr.lower()
    patterns = RULE.findall(done.stderr + done.stdout)
    return {re.sub(rb"\\(.)", rb"\1", pattern, flags=re.DOTALL) for pattern in patterns}
