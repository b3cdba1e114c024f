"""Small apps of several kinds, in trees of programs of this machine: they need no network."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from commands import SampleError
from sample import find_free_port
from scored_app import Interview, ScoredApp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SITE = {
    "srv/site/index.html": "<link href=theme/site.css><p>start\n",
    "srv/site/theme/site.css": "p { color: teal }\n",
    "srv/site/theme/print.css": "p { color: black }\n",
    "srv/site/about/team.html": "<p>team\n",
    "srv/site/feed.xml": "<feed/>\n",
    "srv/site/data/prices.json": '{"a": 1}\n',
}
_TOOL = {
    "opt/tool/bin/tool": (
        "#!/bin/sh\nhere=/opt/tool\n. $here/lib/common.sh\n. $here/lib/$1.sh\nshift\nmain $*\n"
    ),
    "opt/tool/lib/common.sh": 'show() { cat "$here/texts/$1.txt"; }\n',
    "opt/tool/lib/hello.sh": "main() { show hello; echo $1; }\n",
    "opt/tool/lib/total.sh": "main() { show total; echo $(($1 + $2)); }\n",
    "opt/tool/lib/report.sh": ". $here/lib/total.sh\nmain() { show report; cat $here/rates/*; }\n",
    "opt/tool/texts/hello.txt": "hello\n",
    "opt/tool/texts/total.txt": "in all:\n",
    "opt/tool/texts/report.txt": "rates:\n",
    "opt/tool/rates/2024": "1.5\n",
    "opt/tool/rates/2025": "1.25\n",
}
_PAGES = {
    "srv/pages/server.py": """
import http.server, importlib, json, os, string, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, name = self.path.strip("/").partition("/")
        try:
            body, status = self.answer(kind or "page", name or "start"), 200
        except (ImportError, OSError) as error:
            with open(os.path.join(HERE, "errors", "500.txt")) as file:
                body, status = file.read() + repr(error), 500
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())

    def answer(self, kind, name):
        if kind == "page":
            with open(os.path.join(HERE, "pages", name + ".html")) as file:
                return string.Template(file.read()).substitute(name=name)
        if kind == "words":
            with open(os.path.join(HERE, "words", name + ".json")) as file:
                return json.load(file)["hello"]
        return importlib.import_module(f"tools.{kind}").run(name)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""",
    "srv/pages/pages/start.html": "<p>$name\n",
    "srv/pages/pages/late.html": "<p>late: $name\n",
    "srv/pages/errors/500.txt": "sorry: ",
    "srv/pages/words/en.json": '{"hello": "hello"}',
    "srv/pages/words/fr.json": '{"hello": "salut"}',
    "srv/pages/tools/__init__.py": "",
    "srv/pages/tools/upper.py": "def run(name):\n    return name.upper()\n",
    "srv/pages/tools/digest.py": (
        "def run(name):\n    import hashlib\n    return hashlib.sha256(name.encode()).hexdigest()\n"
    ),
    "srv/pages/tools/table.py": (
        "import csv, io\n\ndef run(name):\n    out = io.StringIO()\n"
        "    csv.writer(out).writerow([name, len(name)])\n    return out.getvalue()\n"
    ),
    "srv/pages/tools/price.py": (
        "from decimal import Decimal\n\ndef run(name):\n    return str(Decimal(name) / 3)\n"
    ),
}
_LETTERS = {
    "usr/local/letters/bin/letter": """#!/usr/bin/perl
use strict;
use FindBin;
use lib "$FindBin::Bin/../lib";
my ($kind, @rest) = @ARGV;
require "Letter/$kind.pm";
print "Letter::$kind"->write(@rest);
""",
    "usr/local/letters/lib/Letter/Short.pm": (
        'package Letter::Short;\nsub write { "dear $_[1]\\n" }\n1;\n'
    ),
    "usr/local/letters/lib/Letter/Long.pm": (
        "package Letter::Long;\nuse POSIX ();\n"
        'sub write { "dear $_[1], " . POSIX::floor($_[2]) . "\\n" }\n1;\n'
    ),
    "usr/local/letters/lib/Letter/Framed.pm": (
        "package Letter::Framed;\nuse Text::Wrap ();\n"
        "sub write { Text::Wrap::wrap('| ', '| ', \"dear $_[1]\") . \"\\n\" }\n1;\n"
    ),
}
_APPLETS = ("sh", "cat", "httpd")


def list_small_apps() -> tuple[ScoredApp, ...]:
    """The apps, with free ports."""
    site, pages = _make_site(find_free_port()), _make_pages(find_free_port())
    return site, _make_tool(), pages, _make_letters()


def _make_site(port: int) -> ScoredApp:
    argv = ("httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/srv/site")
    ready = ("--ready", f"tcp:{port}")
    late = ("/theme/print.css", "/about/team.html", "/feed.xml", "/data/prices.json", "/nowhere")
    known = ("/", "/theme/site.css")
    return ScoredApp(
        "static-site",
        "static files of a small web server",
        partial(_make_busybox_tree, files=_SITE),
        (Interview((*ready, *_get(*known)), argv),),
        (Interview((*ready, *_get(*known, *late)), argv),),
    )


def _make_tool() -> ScoredApp:
    commands = (("hello", "you"), ("total", "1", "2"), ("report",))
    runs = tuple(Interview((), ("/opt/tool/bin/tool", *words)) for words in commands)
    return ScoredApp(
        "shell-tool",
        "a shell script that sources the file of each subcommand",
        partial(_make_busybox_tree, files=_TOOL),
        runs[:1],
        runs,
    )


def _make_pages(port: int) -> ScoredApp:
    argv = ("python3", "/srv/pages/server.py", str(port))
    ready = ("--ready", f"tcp:{port}")
    late = (
        *("/page/late", "/page/none", "/words/fr", "/digest/name", "/table/name", "/price/7"),
        "/nothing/name",
    )
    known = ("/", "/words/en", "/upper/name")
    return ScoredApp(
        "python-pages",
        "pages, texts and modules of a Python server by names that requests give",
        _make_python_tree,
        (Interview((*ready, *_get(*known)), argv),),
        (Interview((*ready, *_get(*known, *late)), argv),),
    )


def _make_letters() -> ScoredApp:
    words = (("Short", "ada"), ("Long", "ada", "2.5"), ("Framed", "ada"), ("None", "ada"))
    runs = tuple(Interview((), ("/usr/local/letters/bin/letter", *each)) for each in words)
    return ScoredApp(
        "perl-letters",
        "a Perl program that requires a module by its argument",
        _make_perl_tree,
        runs[:1],
        runs,
    )


def _get(*paths: str) -> tuple[str, ...]:
    return tuple(word for path in paths for word in ("--http-get", path))


def _make_busybox_tree(work: Path, files: Mapping[str, str]) -> str:
    root = _make_tree(work, files)
    _copy_program(_find("busybox"), root, "bin/busybox")
    for applet in _APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    return f"rootfs:{root}"


def _make_python_tree(work: Path) -> str:
    root = _make_tree(work, _PAGES)
    program = os.path.realpath(_find("/usr/bin/python3"))
    shown = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    done = subprocess.run([program, "-c", shown], capture_output=True, text=True, check=True)
    library = done.stdout.strip()
    _copy_program(program, root, "usr/bin/python3")
    _copy_tree(library, root)
    return f"rootfs:{root}"


def _make_perl_tree(work: Path) -> str:
    root = _make_tree(work, _LETTERS)
    _copy_program(_find("/usr/bin/perl"), root, "usr/bin/perl")
    argv = ("/usr/bin/perl", "-e", "print join qq(\\n), grep { -d } @INC")
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    for folder in {*map(os.path.realpath, done.stdout.split())}:
        if folder.startswith("/usr/") and "local" not in folder:
            _copy_tree(folder, root)
    for link, target in ((each, os.path.realpath(each)) for each in done.stdout.split()):
        if link != target and not (root / link.lstrip("/")).exists() and "local" not in link:
            (root / link.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (root / link.lstrip("/")).symlink_to(target)
    return f"rootfs:{root}"


def _make_tree(work: Path, files: Mapping[str, str]) -> Path:
    root = work / "full"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    (root / "bin").mkdir(exist_ok=True)
    return root


def _find(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SampleError(f"this machine has no {name}")
    return path


def _copy_tree(folder: str, root: Path) -> None:
    """Copy a library, with what its extension modules are linked with."""
    ignored = shutil.ignore_patterns("__pycache__", "test", "*-packages", "*.a")
    place = root / folder.lstrip("/")
    shutil.copytree(folder, place, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    for path in place.rglob("*.so"):
        if path.is_file():
            _copy_libraries(str(path), root)


def _copy_program(program: str, root: Path, name: str) -> None:
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(program), target)
    _copy_libraries(program, root)


def _copy_libraries(program: str, root: Path) -> None:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    for library in (word for word in done.stdout.split() if word.startswith("/")):
        target = root / library.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(library), target)
