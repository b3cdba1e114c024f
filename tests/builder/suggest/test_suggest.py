"""Suggestions for files that were neither touched nor implied, and their order."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root, make_trace
from traces import run_slimtrace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.model import Keep
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.builder.suggest.rank import Suggestion, suggest
from slimtrace.builder.suggest.unused_files import UnusedFiles, find_unused
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ELF = b"\x7fELF\x02\x01\x01" + bytes(60)


def suggestions(
    tmp_path: Path,
    tree: Mapping[str, str | bytes | None],
    touched: Mapping[str, Iterable[Use]] | Iterable[str],
    **options: tuple[str, ...],
) -> tuple[Suggestion, ...]:
    """What the level closure lacks, for an app that ran in /app and touched these files."""
    top = make_root(tmp_path / "root", {"/app": None, **tree})
    ran = make_trace(top, touched, cwd="/app")
    root = Root(str(top))
    chosen = BuildOptions(keep=Keep.CLOSURE, **options)  # type: ignore[arg-type]
    return suggest(ran, root, select(ran, root, chosen))


def table(found: Iterable[Suggestion]) -> list[str]:
    return [f"{each.path} {each.files}x{each.size} {each.why}" for each in found]


def test_strongest_first(tmp_path: Path) -> None:
    """Each kind of clue; none for kept files, secrets, kernel files and shallow directories."""
    site = "/usr/lib/python3.11/site-packages"
    tree: dict[str, str | bytes] = {
        "/app/main.py": "import pkg\nOPEN = '/srv/data/names.txt'\nTEXT = 'words/de.txt'\n"
        "BAD = '/proc/self/maps /usr /usr/share /app/main.py /nowhere/at/all /srv/key.pem'",
        "/srv/data/names.txt": "12345",
        "/srv/key.pem": "-----BEGIN PRIVATE KEY-----\n",
        "/usr/share/x": "",
        "/app/words/de.txt": "1",
        "/app/plug_a.py": "",
        "/app/plug_b.py": "",
        "/app/tests/t.py": "",
        "/app/.git/x.py": "",
        "/app/bin": ELF + b"\0/srv/strings.db\0",
        "/srv/strings.db": "123",
        f"{site}/pkg/__init__.py": "def f():\n    import deep",
        f"{site}/pkg/data.json": "{}",
        f"{site}/deep.py": "def f():\n    import lazy",
        f"{site}/lazy.py": "",
        "/var/lib/dpkg/status": "".join(
            f"Package: {name}\nStatus: install ok installed\n\n" for name in "pq"
        ),
        "/var/lib/dpkg/info/p.list": "/.\n/bin/p\n/etc/p.conf\n",
        "/var/lib/dpkg/info/p.conffiles": "/etc/p.conf\n",
        "/var/lib/dpkg/info/q.list": "/usr/bin/q\n",
        "/var/lib/dpkg/info/q.conffiles": "/etc/q.conf\n",
        "/etc/p.conf": "",
        "/etc/q.conf": "",
        "/bin": "-> usr/bin",
        "/usr/bin/p": "",
    }
    touched = {
        "/app/main.py": [Use.READ],
        "/app/bin": [Use.EXEC],
        "/usr/bin/p": [Use.READ],
        site: [Use.LIST],
        "/app": [Use.LIST],
        f"{site}/pkg/__init__.py": [Use.READ],
    }
    assert table(suggestions(tmp_path, tree, touched)) == [
        "/app/words/de.txt 1x1 named in /app/main.py",
        "/srv/data/names.txt 1x5 named in /app/main.py",
        f"{site}/lazy.py 1x0 imported in a function of {site}/deep.py",
        "/srv/strings.db 1x3 named in /app/bin",
        "/app/plug_a.py 1x0 beside /app/main.py",
        "/app/plug_b.py 1x0 beside /app/main.py",
        f"{site}/pkg/data.json 1x2 data of pkg, which was used",
    ]


def test_a_folder_is_summed_up(tmp_path: Path) -> None:
    """Where all that is lacking in a folder has a clue, whatever is kept of it."""
    tree = {f"/app/templates/{name}.html": "1234" for name in "abcde"}
    tree |= {f"/app/templates/mail/{name}.html": "1" for name in "ab"}
    assert table(suggestions(tmp_path, tree, ["/app/templates/a.html"])) == [
        "/app/templates 6x18 beside /app/templates/a.html"
    ]


def test_a_part_of_a_folder_is_summed_up(tmp_path: Path) -> None:
    tree = {f"/app/templates/{name}.html": "1234" for name in "abcde"}
    tree |= {"/app/templates/mail/a.html": "1", "/app/templates/other.db": ""}
    assert table(suggestions(tmp_path, tree, ["/app/templates/a.html"])) == [
        "/app/templates/*.html 4x16 beside /app/templates/a.html",
        "/app/templates/mail/a.html 1x1 below the folder of /app/templates/a.html",
    ]


DPKG = {
    "/var/lib/dpkg/status": "Package: p\nStatus: install ok installed\n\n",
    "/var/lib/dpkg/info/p.list": "/.\n/etc/p.conf\n/usr/lib/p/a.dat\n/usr/lib/p/b.dat\n"
    "/usr/lib/p/c.dat\n/usr/lib/p/d.so\n/usr/bin/wc\n/usr/local\n/var/www\n/opt\n/srv\n",
}


@pytest.mark.parametrize(
    "top", ["/srv/app", "/var/www/html", "/usr/local/app", "/usr/src/app", "/opt/app/lib"]
)
def test_the_apps_folder_is_seen_wherever_it_is(tmp_path: Path, top: str) -> None:
    """Also where the working directory is another. The level app keeps it; that is said."""
    names = [f"{top}/templates/{name}.html" for name in "ab"]
    tree = {**DPKG, **dict.fromkeys(names, "1")}
    assert table(suggestions(tmp_path, tree, names[:1])) == [
        f"{names[1]} 1x1 beside {names[0]}",
    ]
    root = Root(str(tmp_path / "root"))
    selection = select(make_trace(tmp_path / "root", names[:1]), root, BuildOptions(keep=Keep.APP))
    assert find_unused(selection) == (UnusedFiles(names[1], 1, 1),)


def test_what_no_program_reads_is_not_suggested(tmp_path: Path) -> None:
    """Nor the distribution's own settings, though an own file names all of them."""
    lacking = ["/opt/app/de.po", "/opt/app/x.h", "/usr/share/doc/p/all", "/usr/include/p.h"]
    lacking += ["/etc/p.conf", "/usr/share/man/man1/p.1"]
    text = "\n".join([*lacking, "/etc/own.conf", "/opt/app/de.mo"])
    tree = {**DPKG, **dict.fromkeys([*lacking, "/etc/own.conf", "/opt/app/de.mo"], "1")}
    found = suggestions(tmp_path, {**tree, "/opt/app/run.txt": text}, ["/opt/app/run.txt"])
    assert [each.path for each in found] == ["/etc/own.conf", "/opt/app/de.mo"]


def test_commands_of_own_scripts(tmp_path: Path) -> None:
    script = "#!/bin/sh\nset -e\n# find nothing\nif cmp -s a b; then sort x | wc -l; fi\necho cat\n"
    names = ["cmp", "sort", "wc", "cat", "find", "set", "echo", "a"]
    tree = {**DPKG, **{f"/usr/bin/{name}": "" for name in names}, "/entry.sh": script}
    found = suggestions(tmp_path, tree, {"/entry.sh": [Use.EXEC]})
    assert [each.path for each in found] == ["/usr/bin/cmp", "/usr/bin/sort", "/usr/bin/wc"]
    assert {each.why for each in found} == {"a command in /entry.sh"}


def test_a_folder_of_a_package_of_which_two_were_read(tmp_path: Path) -> None:
    files = [f"/usr/lib/p/{name}" for name in ("a.dat", "b.dat", "c.dat", "d.so")]
    tree = {**DPKG, **dict.fromkeys(files, "1")}
    assert table(suggestions(tmp_path, tree, files[:2])) == [
        "/usr/lib/p/c.dat 1x1 beside /usr/lib/p/a.dat and others that a run read"
    ]
    assert suggestions(tmp_path, tree, files[:1]) == ()


def test_a_directory_is_named_as_a_whole(tmp_path: Path) -> None:
    tree = {"/app/main.sh": "cat /srv/data/all/*", "/srv/data/all/x": "1", "/srv/data/all/y/z": "2"}
    found = table(suggestions(tmp_path, tree, ["/app/main.sh"]))
    assert found == ["/srv/data/all 2x2 named in /app/main.sh"]


def test_what_is_kept_or_left_out_is_not_suggested(tmp_path: Path) -> None:
    tree = {"/app/main.sh": "cat /srv/a/x /srv/a/y", "/srv/a/x": "1", "/srv/a/y": "1"}
    build_options = {"include": ("/srv/a/x",)}
    found = table(suggestions(tmp_path, tree, ["/app/main.sh"], **build_options))
    assert found == ["/srv/a/y 1x1 named in /app/main.sh"]
    touched = ["/app/main.sh", "/srv/a/x"]
    found = table(suggestions(tmp_path, tree, touched, exclude=("/srv/a/x",)))
    assert found == ["/srv/a/y 1x1 named in /app/main.sh"]


APP = """
import json, sys
def lazily(name):
    module = __import__("plugin_" + name)
    return open("data/greeting.txt").read() + module.WORD
if len(sys.argv) > 1:
    print(lazily(sys.argv[1]))
"""


def test_what_a_real_app_hides_is_in_the_first_lines(tmp_path: Path) -> None:
    """A name built from parts and a path, in this machine's root, without other suggestions."""
    app = {"/main.py": APP, "/plugin_a.py": "WORD = 'a'", "/data/greeting.txt": "hello"}
    folder = str(make_root(tmp_path / "app", app))
    ran = str(tmp_path / "app.trace")
    argv = [os.path.realpath(sys.executable), "main.py"]
    assert run_slimtrace("-q", "run", "-o", ran, "--", *argv, cwd=folder).returncode == 0
    done = run_slimtrace("suggest", ran, "--keep", "closure", "--json")
    assert done.returncode == 0, done.stderr
    found = [each["path"] for each in json.loads(done.stdout)]
    assert found.index(f"{folder}/data/greeting.txt") == 0
    assert found.index(f"{folder}/plugin_a.py") < 5
    assert len(found) <= 30
    shown = run_slimtrace("suggest", ran, "--keep", "closure", "--limit", "2")
    assert f"--include {folder}/data/greeting.txt" in shown.stdout.splitlines()[0]
    assert len(shown.stdout.splitlines()) == 2
