"""Programs that the app's own shell scripts name, and the commands in a script's text."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import list_added_paths
from requirements import need_root
from roots import busybox_root, copy_program
from traces import run_slimtrace

from slimtrace.builder.closure.rules import shell
from slimtrace.builder.closure.rules.shell.shell_scanner import find_commands

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS = {
    "a -x y; b|c && d || e & f": "a b c d e f",
    "if a; then b; elif c; then d; else e; fi": "a b c d e",
    "while a; do b; done; until c; do d; done": "a b c d",
    "for x in a b $(c); do d; done; for y; do e; done": "c d e",
    "case $(a) in b|c) d ;; (e) f;& *) g;; esac; h": "a d f g h",
    "case x in\n  # it's\n  a) b ;;\nesac": "b",
    "case x in a) case y in b) c;; esac;; d) e;; esac": "c e",
    "f() { a; }\nfunction g { b; }": "a b",
    "X=1 Y=$(a) b; Z='c'; w+=(d $(e)); v[1]=f": "a b e",
    "(a; b) ; { c; }; ! d": "a b c d",
    'echo "x $(a "$(b)") y" `c "d"` \'$(e)\'': "a b c echo",
    "a 2>/dev/null >&2 < b > $(c)": "a c",
    "a <<E | b\nc; d\nE\ne <<-'F'\n\tg\n\tF\nh": "a b e h",
    "a <(b) ; c <<< d": "a b c",
    "a $((1 + $(b) * (c))) ; ((d++)); [[ e && f ]] && g": "a b g",
    'a ${x:-$y} "${z}" ${#w}; b': "a b",
    "# a\nb # c\nd#e": "b d#e",
    "a \\\n  b; 'c d' e; \"f\"": "a c\xa0d f",
    '$a b; "$c" d; e$f g': "",
    "a 'unclosed": "a",
    "a $(b `c": "a b c",
    "a )) ;; } esac fi": "a",
}

SHELL_ROOT: dict[str, str | bytes | None] = {
    "/bin": "-> usr/bin",
    **{
        f"/usr/bin/{name}": name
        for name in (
            *(
                "sh",
                "bash",
                "id",
                "cut",
                "openssl",
                "gosu",
                "psql",
                "apt-get",
                "pip3.11",
                "su",
                "tput",
            ),
            *(
                "envsubst",
                "nice-tool",
                "printf",
                "postgres",
                "setpriv",
                "timeout",
                "plain",
                "xargs",
            ),
        )
    },
    "/usr/bin/of-bash": "#!/bin/bash\n",
    "/usr/bin/of-sh": "#!/bin/sh\ntput\n",
    "/usr/bin/of-env": "#!/usr/bin/env bash\n",
    "/opt/tool": "\x7fELF",
    "/app/migrate.sh": "#!/bin/sh\npsql -c x",
    "/app/library.sh": "cut x",
    "/app/unread.sh": "#!/bin/sh\ntput",
    "/usr/bin/owned": "#!/bin/sh\npsql",
    "/var/lib/dpkg/status": "Package: of\nStatus: install ok installed\nVersion: 1\n"
    "Architecture: all\n",
    "/var/lib/dpkg/info/of.list": "/usr/bin/owned\n/usr/bin/of-sh\n/usr/bin/of-bash\n",
    "/usr/bin/awk": "-> /etc/alternatives/awk",
    "/etc/alternatives/awk": "-> /usr/bin/mawk",
    "/usr/bin/mawk": "",
}
MODES = {
    **{path: 0o755 for path in SHELL_ROOT if path.startswith(("/usr/bin/", "/opt/", "/app/"))},
    "/usr/bin/su": 0o4755,
    "/usr/bin/plain": 0o644,
}
del MODES["/usr/bin/awk"]


def add(tmp_path: Path, script: str, *others: str) -> set[str]:
    """What a script adds that a run executed, with the shell that it is for."""
    tree = {**SHELL_ROOT, "/entrypoint.sh": f"#!/bin/sh -e\n{script}\n"}
    make_root(tmp_path / "root", tree, **MODES)
    touched = ("/entrypoint.sh", "/usr/bin/sh", *others)
    return {*list_added_paths(tmp_path / "root", touched, shell.RULES)} - {"/bin"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_commands_of_a_script(script: str) -> None:
    names = {command[0].replace(" ", "\xa0") for command in find_commands(script)} - {""}
    assert sorted(names) == SCRIPTS[script].split(" ") if SCRIPTS[script] else not names


def test_the_arguments_of_a_command() -> None:
    (command,) = find_commands('a \'b c\' "d$e" f"g"\\ h --i=j')
    assert command == ("a", "b c", "", "fg h", "--i=j")


def test_a_deep_or_hostile_script_ends() -> None:
    for text in ("$(" * 5000, "`" * 4999, "(" * 5000, "case x in " * 5000, "<<E\n" * 2000):
        find_commands(text)


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ('[ -n "$TLS" ] && openssl req -x509 2>/dev/null', "openssl"),
        ('exec gosu postgres "$0"', "gosu"),
        ("exec gosu postgres psql", "gosu psql"),
        ("timeout -k 5 10s setpriv --reuid=1 env X=1 id -u", "id setpriv timeout"),
        ("command -v envsubst >/dev/null && x", "envsubst"),
        ("trap 'cut x' EXIT; eval \"id\"", "cut id"),
        ("sh -c 'id -un'", "id"),
        ("printf x; echo y; test z; [ a ]", ""),
        ("apt-get install x; pip3.11 install y; bash -c 'id'", "id"),
        ('su postgres; plain; nothing; $cmd; "$x/id"', ""),
        ("of-sh; of-bash; of-env", "of-sh"),
        ("awk x", "awk mawk"),
    ],
)
def test_programs_of_a_script(tmp_path: Path, script: str, programs: str) -> None:
    """No shells, package managers, builtins, nothing with setuid, no script of another shell."""
    added = add(tmp_path, script)
    assert {path.rpartition("/")[2] for path in added if "/bin/" in path} == {*programs.split()}


def test_a_path_and_other_scripts_of_the_app(tmp_path: Path) -> None:
    added = add(tmp_path, "/opt/tool; [ $1 ] || /app/migrate.sh")
    assert added == {"/opt/tool", "/app/migrate.sh", "/usr/bin/psql"}


def test_scripts_that_were_read(tmp_path: Path) -> None:
    """A library of the app's own counts; not what a package owns, nor what no run read."""
    added = add(tmp_path, ". /app/library.sh", "/app/library.sh", "/usr/bin/owned")
    assert added == {"/usr/bin/cut"}


def test_files_that_a_script_sources(tmp_path: Path) -> None:
    """By name, in any branch; of a folder whose files it sources, those that a run read."""
    files = {
        "/etc/init.d/10-read": "cut x",
        "/etc/init.d/20-unread": "tput",
        "/opt/late": "id; . /opt/later",
        "/opt/later": "psql",
        "/opt/other": "openssl",
    }
    script = '#!/bin/sh\nfor f in /etc/init.d/*; do . "$f"; done\n[ $1 ] && . /opt/late\ncat /opt/*'
    root = make_root(tmp_path / "root", {**SHELL_ROOT, **files, "/e": script}, **MODES)
    touched = ["/e", "/usr/bin/sh", "/etc/init.d/10-read", "/opt/other"]
    added = {*list_added_paths(root, touched, shell.RULES)} - {"/bin"}
    names = {"/usr/bin/cut", "/usr/bin/id", "/usr/bin/psql", "/opt/late", "/opt/later"}
    assert added == names


def test_a_rule_of_its_own(tmp_path: Path) -> None:
    make_root(tmp_path / "root", {**SHELL_ROOT, "/e.sh": "#!/bin/sh\nid"}, **MODES)
    added = list_added_paths(tmp_path / "root", ["/e.sh", "/usr/bin/sh"], shell.RULES)
    assert added == {"/usr/bin/id": "script-command"}


def test_a_branch_that_no_run_took(tmp_path: Path) -> None:
    """A real shell takes it in the image of the level app."""
    need_root()
    script = '#!/bin/sh\nif [ "$1" ]; then echo "$1" | sever -c 2-; else echo ready; fi\n'
    root = busybox_root(tmp_path / "root", {"entrypoint": script})
    copy_program("/usr/bin/cut", root, "usr/local/bin/sever")
    trace = str(tmp_path / "app.trace")
    run = ("-q", "run", "--force", "-o")
    done = run_slimtrace(*run, trace, "--image", f"rootfs:{root}", "--", "/entrypoint")
    assert done.stdout == "ready\n", done.stderr
    answers = {}
    for keep in ("closure", "app"):
        image = f"rootfs:{tmp_path / keep}"
        built = run_slimtrace("-q", "build", trace, "-o", image, "--keep", keep)
        assert built.returncode == 0, built.stderr
        late = (*run, str(tmp_path / "late.trace"), "--image", image)
        answers[keep] = run_slimtrace(*late, "--", "/entrypoint", "xhello")
    assert answers["app"].stdout == "hello\n"
    assert "not found" in answers["closure"].stderr


def test_a_shell_runs_these_commands(tmp_path: Path) -> None:
    """The commands that a real shell runs, in all branches, are among those that are found."""
    script = (
        'for x in 1 2; do case $x in 1) one a;; 2|3) two "$(three)";; esac; done\n'
        '[ -n "$x" ] && { four; five; } || six\n'
        "seven <<E\n$x\nE\neight=$(nine) ten | eleven >/dev/null\n"
    )
    names = ["one", "two", "three", "four", "five", "seven", "nine", "ten", "eleven"]
    for name in names:
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script], env=env, check=True, timeout=60)
    ran = {*(tmp_path / "ran").read_text().split()}
    assert ran == {*names}
    assert ran < {command[0] for command in find_commands(script)}
