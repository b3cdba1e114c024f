"""Files and folders that the app's own configuration names by an absolute path."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import list_added_paths

from slimtrace.builder.closure.rules import shell
from slimtrace.builder.closure.rules.app import config_path
from slimtrace.builder.closure.rules.app.bounds import Bound

if TYPE_CHECKING:
    from pathlib import Path

STOCK = "root /var/www/stock;\n"
SUM = hashlib.md5(STOCK.encode(), usedforsecurity=False).hexdigest()

WORLD: dict[str, str | bytes | None] = {
    "/var/www/html/index.html": "",
    "/var/www/html/img/a.png": "",
    "/var/www/html/.git/HEAD": "",
    "/var/www/stock/index.html": "",
    "/site/late.html": "",
    "/etc/web/users": "",
    "/etc/web/other": "",
    "/etc/web/brought": "",
    "/usr/share/web/html/50x.html": "",
    "/usr/lib/web/module.so": "",
    "/usr/bin/tool": "",
    "/opt/packaged/run": "",
    "/opt/jobs/nightly": "",
    "/opt/jobs/root": "",
    "/opt/venv/pyvenv.cfg": "",
    "/opt/venv/lib/x.py": "",
    "/opt/tool/bin/x": "",
    "/opt/tool/lib/x": "",
    "/etc/app/beside.conf": "",
    "/var/lib/web/state": "",
    "/usr/share/fonts/a.ttf": "",
    "/var/lib/dpkg/status": "Package: web\nStatus: install ok installed\nVersion: 1\n"
    f"Architecture: all\nConffiles:\n /etc/web/stock.conf {SUM}\n /etc/web/changed.conf {SUM}\n",
    "/var/lib/dpkg/info/web.list": "/etc/web/stock.conf\n/etc/web/changed.conf\n/etc/web/brought\n"
    "/usr/share/web/html/50x.html\n/opt/packaged/run\n",
    "/etc/web/stock.conf": STOCK,
    "/etc/web/changed.conf": f"{STOCK}# changed",
}
CONFIGURED = {
    "root /var/www/html;": "/var/www/html/img/a.png /var/www/html/index.html",
    "root '/var/www/html/';": "/var/www/html/img/a.png /var/www/html/index.html",
    "path=/site/late.html": "/site/late.html",
    '{"root": "/usr/share/web/html"}': "/usr/share/web/html/50x.html",
    "users /etc/web/users;": "/etc/web/users",
    "include /etc/web;": "/etc/web/other /etc/web/users",
    "load /usr/lib/web/module.so": "/usr/lib/web/module.so",
    "exec /usr/bin/tool /opt/packaged/run /opt/jobs/root": "",
    "exec /opt/jobs/nightly": "/opt/jobs/nightly",
    "dir /usr/lib/web /usr/share/fonts /var/lib/web /usr/share /etc": "",
    "file /var/lib/web/state": "",
    "http://host/var/www/html x/var/www/html ${x}/var/www/html": "",
    "missing /var/www/none /site/none": "",
    "venv /opt/venv /opt/tool /etc/app": "",
}
MODES = {
    **dict.fromkeys(("/usr/bin/tool", "/opt/packaged/run", "/opt/jobs/nightly"), 0o755),
    "/opt/jobs/root": 0o4755,
}


def add(tmp_path: Path, tree: dict[str, str | bytes | None], *touched: str) -> set[str]:
    """The files that are added; a named folder is too."""
    root = make_root(tmp_path / "root", {**WORLD, **tree}, **MODES)
    added = list_added_paths(root, touched, (config_path.RULE,))
    return {path for path in added if (root / path[1:]).is_file()}


@pytest.mark.parametrize("text", CONFIGURED)
def test_named_paths(tmp_path: Path, text: str) -> None:
    added = add(tmp_path, {"/etc/app/site.conf": text}, "/etc/app/site.conf")
    assert sorted(added) == CONFIGURED[text].split()


@pytest.mark.parametrize(
    ("name", "content", "counts"),
    [
        ("/srv/app.ini", "root = /site", False),
        ("/srv/app.ini", "root = /site/late.html", True),
        ("/srv/conf.template", "x /site/late.html", True),
        ("/srv/start.sh", "cp /site/late.html x", True),
        ("/srv/start", "#!/bin/sh\ncp /site/late.html x", True),
        ("/srv/notes.txt", "/site/late.html", False),
        ("/srv/app.conf", b"\0 /site/late.html", False),
    ],
)
def test_what_is_configuration(
    tmp_path: Path, name: str, content: str | bytes, counts: bool
) -> None:
    assert add(tmp_path, {name: content}, name) == ({"/site/late.html"} if counts else set())


def test_a_package_s_configuration_counts_if_it_was_changed(tmp_path: Path) -> None:
    assert add(tmp_path, {}, "/etc/web/stock.conf") == set()
    assert add(tmp_path, {}, "/etc/web/changed.conf") == {"/var/www/stock/index.html"}


def test_a_script_that_another_script_calls(tmp_path: Path) -> None:
    """No run read it, but the rule script-command keeps it."""
    tree: dict[str, str | bytes | None] = {
        "/entrypoint": "#!/bin/sh\n[ $1 ] && /opt/tools/render",
        "/opt/tools/render": "#!/bin/sh\ncat /site/late.html",
        "/opt/tools/other": "#!/bin/sh\ncat /etc/web/other",
        "/bin/sh": "",
    }
    modes = dict.fromkeys(("/entrypoint", "/opt/tools/render", "/opt/tools/other"), 0o755)
    root = make_root(tmp_path / "root", {**WORLD, **tree}, **modes)
    rules = (*shell.RULES, config_path.RULE)
    added = list_added_paths(root, ["/entrypoint", "/bin/sh"], rules)
    assert {*added} == {"/opt/tools/render", "/site/late.html"}


def test_a_large_folder_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_path, "BOUND", Bound(files=1, size=1 << 20))
    added = add(tmp_path, {"/etc/a.conf": "r /var/www/html /site/late.html"}, "/etc/a.conf")
    assert added == {"/site/late.html"}
