"""The level ``app``: the application's own folders and its language packages are kept whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, describe_selection, make_root

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.closure.rules.app import language_package, own_folder
from slimtrace.builder.closure.rules.app.bounds import Bound
from slimtrace.builder.model import Keep, Reason, Seed, Selection
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

Tree = dict[str, str | bytes | None]

DPKG: Tree = {
    "/var/lib/dpkg/status": (
        "Package: base\nStatus: install ok installed\nVersion: 1\n\n"
        "Package: nginx\nStatus: install ok installed\nVersion: 1\n"
    ),
    "/var/lib/dpkg/info/base.list": "/srv\n/opt\n/usr/share\n/usr/src\n/usr/local/share\n",
    "/var/lib/dpkg/info/nginx.list": (
        "/etc/nginx\n/etc/nginx/nginx.conf\n/usr/share/nginx/html/index.html\n"
    ),
    "/etc/nginx/nginx.conf": "",
    "/usr/share/nginx/html/index.html": "",
}


def select(
    top: Path, *paths: str, cwd: str = "/", created: tuple[str, ...] = (), reason: Reason
) -> Selection:
    """The closure of files that a run read, by the rules of the level and one reason alone."""
    rules = [rule for rule in choose_rules(Keep.APP) if rule.reason is reason]
    seeds = [Seed(path, TOUCHED, load=True) for path in paths]
    return expand(Root(str(top)), seeds, RunEnvironment((), (), cwd), rules, created=created)


def list_implied(selection: Selection, reason: Reason) -> set[str]:
    return {
        path
        for path, line in describe_selection(selection).items()
        if line.split()[-1] == reason.value
    }


# what the run read, the working directory, what else comes
FOLDERS: list[tuple[str, str, set[str]]] = [
    ("/app/main.py", "/", {"/app/views/late.html", "/app/.env.example"}),
    ("/opt/shop/bin/server", "/", {"/opt/shop/lib/plugins/a.so", "/opt/shop/share/x.dat"}),
    ("/srv/manage.py", "/", {"/srv/core/models.py", "/srv/static/a.css"}),
    ("/srv/core/models.py", "/", set()),
    ("/srv/core/models.py", "/srv", {"/srv/manage.py", "/srv/static/a.css"}),
    ("/usr/local/share/shop/words.txt", "/", {"/usr/local/share/shop/more.txt"}),
    ("/usr/share/nginx/html/site/a.html", "/", {"/usr/share/nginx/html/site/b.html"}),
    ("/etc/nginx/templates/a.conf", "/", {"/etc/nginx/templates/b.conf"}),
    ("/docker-entrypoint.d/10-a.sh", "/", {"/docker-entrypoint.d/20-b.sh"}),
    ("/opt/python/lib/python3.12/os.py", "/", set()),
    ("/opt/jdk/conf/net.properties", "/", set()),
    ("/usr/local/bin/entrypoint.sh", "/", set()),
    ("/etc/nginx/nginx.conf", "/", set()),
    ("/tmp/state/one", "/", set()),
    ("/server.py", "/", set()),
    ("/var/lib/shop/one", "/", set()),
]
TREE: Tree = {
    **DPKG,
    "/app/main.py": "",
    "/app/views/late.html": "",
    "/app/.env.example": "",
    "/app/.git/config": "",
    "/app/tests/test_main.py": "",
    "/app/README.md": "",
    "/app/src/fast.c": "",
    "/app/venv/pyvenv.cfg": "",
    "/app/venv/lib/python3.11/site-packages/x.py": "",
    "/app/node_modules/x/index.js": "",
    "/app/old.trace": '{"slimtrace":1,"version":"0"}\n',
    "/app/old.trace.d/1": "",
    "/app/old.tar": "manifest.json" + "\0" * 600,
    "/opt/shop/bin/server": "",
    "/opt/shop/lib/plugins/a.so": "",
    "/opt/shop/share/x.dat": "",
    "/srv/manage.py": "",
    "/srv/core/models.py": "",
    "/srv/static/a.css": "",
    "/usr/local/share/shop/words.txt": "",
    "/usr/local/share/shop/more.txt": "",
    "/usr/local/share/other/x.txt": "",
    "/usr/local/bin/entrypoint.sh": "",
    "/usr/local/bin/tool": "",
    "/usr/share/nginx/html/site/a.html": "",
    "/usr/share/nginx/html/site/b.html": "",
    "/etc/nginx/templates/a.conf": "",
    "/etc/nginx/templates/b.conf": "",
    "/docker-entrypoint.d/10-a.sh": "",
    "/docker-entrypoint.d/20-b.sh": "",
    "/opt/python/bin/python": "",
    "/opt/python/include/python3.12/Python.h": "",
    "/opt/python/lib/python3.12/os.py": "",
    "/opt/python/lib/python3.12/csv.py": "",
    "/opt/jdk/bin/java": "",
    "/opt/jdk/include/jni.h": "",
    "/opt/jdk/lib/modules": "",
    "/opt/jdk/conf/net.properties": "",
    "/opt/jdk/conf/logging.properties": "",
    "/server.py": "",
    "/tmp/state/one": "",
    "/tmp/state/two": "",
    "/var/lib/shop/one": "",
    "/var/lib/shop/two": "",
}


@pytest.mark.parametrize(("path", "cwd", "expected"), FOLDERS)
def test_own_folders(tmp_path: Path, path: str, cwd: str, expected: set[str]) -> None:
    make_root(tmp_path, TREE)
    selection = select(tmp_path, path, cwd=cwd, reason=Reason.OWN_FOLDER)
    assert list_implied(selection, Reason.OWN_FOLDER) == expected
    assert selection.warnings == ()


def test_a_file_that_a_run_only_looked_at_brings_no_folder(tmp_path: Path) -> None:
    make_root(tmp_path, TREE)
    rules = [rule for rule in choose_rules(Keep.APP) if rule.reason is Reason.OWN_FOLDER]
    seeds = [Seed("/app/main.py", TOUCHED)]
    selection = expand(Root(str(tmp_path)), seeds, RunEnvironment((), (), "/"), rules)
    assert list_implied(selection, Reason.OWN_FOLDER) == set()


def test_files_that_the_run_made_do_not_come_with_their_folder(tmp_path: Path) -> None:
    make_root(tmp_path, TREE)
    made = ("/app/views/late.html",)
    selection = select(tmp_path, "/app/main.py", created=made, reason=Reason.OWN_FOLDER)
    assert list_implied(selection, Reason.OWN_FOLDER) == {"/app/.env.example"}


def test_a_folder_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the subfolder that was used is kept where it is not."""
    monkeypatch.setattr(own_folder, "BOUND", Bound(files=3, size=1 << 20))
    models = {f"/app/models/{at}": "" for at in range(3)}
    make_root(tmp_path, {**TREE, **models})
    selection = select(tmp_path, "/app/views/late.html", "/app/models/0", reason=Reason.OWN_FOLDER)
    assert list_implied(selection, Reason.OWN_FOLDER) == {"/app/models/1", "/app/models/2"}
    (warning,) = selection.warnings
    assert warning.fact.startswith("/app is too large for the rule own-folder: ")
    assert "--include '/app/**'" in warning.next_step


SITE = "/opt/any/lib/python3.11/site-packages"
PACKAGES: Tree = {
    f"{SITE}/shop/__init__.py": "",
    f"{SITE}/shop/late.py": "",
    f"{SITE}/shop/data.json": "",
    f"{SITE}/shop/fast.c": "",
    f"{SITE}/shop/tests/test_shop.py": "",
    f"{SITE}/shop-1.dist-info/RECORD": (
        "shop/__init__.py,,\nshop/late.py,,\nshop/data.json,,\nshop/fast.c,,\n"
        "shop/tests/test_shop.py,,\nshop-1.dist-info/METADATA,,\n"
    ),
    f"{SITE}/shop-1.dist-info/METADATA": (
        "Name: shop\nVersion: 1\nRequires-Dist: Needed.Lib (>=1)\n"
        "Requires-Dist: extra-lib; extra == 'x'\n\nRequires-Dist: text\n"
    ),
    f"{SITE}/needed.py": "",
    f"{SITE}/needed_lib-1.dist-info/RECORD": "needed.py,,\n",
    f"{SITE}/needed_lib-1.dist-info/METADATA": "Name: needed-lib\nVersion: 1\n",
    f"{SITE}/extra.py": "",
    f"{SITE}/extra_lib-1.dist-info/RECORD": "extra.py,,\n",
    f"{SITE}/extra_lib-1.dist-info/METADATA": "Name: extra-lib\nVersion: 1\n",
    "/srv/node_modules/web/package.json": '{"name": "web", "dependencies": {"dep": "1"}}',
    "/srv/node_modules/web/index.js": "",
    "/srv/node_modules/web/lib/late.js": "",
    "/srv/node_modules/web/docs/x.md": "",
    "/srv/node_modules/dep/package.json": '{"name": "dep"}',
    "/srv/node_modules/dep/index.js": "",
    "/srv/node_modules/other/package.json": '{"name": "other"}',
    "/srv/node_modules/other/index.js": "",
    "/var/lib/dpkg/status": (
        "Package: libshop-perl\nStatus: install ok installed\nVersion: 1\n"
        "Depends: perl, libdep-perl (>= 1) | libnone-perl\n\n"
        "Package: libdep-perl\nStatus: install ok installed\nVersion: 1\n\n"
        "Package: perl\nStatus: install ok installed\nVersion: 1\n"
    ),
    "/var/lib/dpkg/info/libshop-perl.list": (
        "/usr/share/perl5/Shop.pm\n/usr/share/perl5/Shop/Late.pm\n/usr/bin/shop\n"
    ),
    "/var/lib/dpkg/info/libdep-perl.list": "/usr/share/perl5/Dep.pm\n",
    "/var/lib/dpkg/info/perl.list": "/usr/share/perl/5.36.0/CPAN.pm\n/usr/bin/perl\n",
    "/usr/share/perl5/Shop.pm": "",
    "/usr/share/perl5/Shop/Late.pm": "",
    "/usr/share/perl5/Dep.pm": "",
    "/usr/share/perl/5.36.0/CPAN.pm": "",
    "/usr/bin/shop": "",
    "/usr/bin/perl": "",
}
# what the run read, what else comes
WHOLE: list[tuple[str, set[str]]] = [
    (
        f"{SITE}/shop/__init__.py",
        {
            *(f"{SITE}/shop/late.py", f"{SITE}/shop/data.json", f"{SITE}/needed.py"),
            f"{SITE}/extra.py",  # it is installed, so somebody wanted the extra
            f"{SITE}/shop-1.dist-info/METADATA",
        },
    ),
    (f"{SITE}/shop-1.dist-info/METADATA", set()),
    (
        "/srv/node_modules/web/index.js",
        {
            "/srv/node_modules/web/package.json",
            "/srv/node_modules/web/lib/late.js",
            "/srv/node_modules/dep/package.json",
            "/srv/node_modules/dep/index.js",
        },
    ),
    ("/usr/share/perl5/Shop.pm", {"/usr/share/perl5/Shop/Late.pm", "/usr/share/perl5/Dep.pm"}),
    ("/usr/share/perl/5.36.0/CPAN.pm", set()),
    ("/usr/bin/shop", set()),
]


@pytest.mark.parametrize(("path", "expected"), WHOLE)
def test_language_packages(tmp_path: Path, path: str, expected: set[str]) -> None:
    make_root(tmp_path, PACKAGES)
    selection = select(tmp_path, path, reason=Reason.LANGUAGE_PACKAGE)
    assert list_implied(selection, Reason.LANGUAGE_PACKAGE) == expected


def test_a_package_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_package, "BOUND", Bound(files=2, size=1 << 20))
    make_root(tmp_path, PACKAGES)
    selection = select(tmp_path, f"{SITE}/shop/__init__.py", reason=Reason.LANGUAGE_PACKAGE)
    assert list_implied(selection, Reason.LANGUAGE_PACKAGE) == {
        *(f"{SITE}/needed.py", f"{SITE}/extra.py")
    }
    (warning,) = selection.warnings
    assert "too large for the rule language-package: at least 4 files" in warning.fact


def test_each_rule_has_a_switch() -> None:
    for name in ("own-folder", "language-package"):
        assert name in {rule.reason.value for rule in choose_rules(Keep.APP)}
        assert name not in {rule.reason.value for rule in choose_rules(Keep.APP, [name])}
        assert name not in {rule.reason.value for rule in choose_rules(Keep.CLOSURE)}
