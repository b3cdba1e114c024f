"""Two small apps read, in their slim images, members of families that no traced run read.

One is a package of the distribution; the other has its data in /var/lib, where nobody owns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from requirements import need_root
from roots import busybox_root
from traces import run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LEDGER = {
    "templates/invoice.tt": "template",
    "templates/mail/reminder.txt": "template",
    "htdocs/print.css": "static-file",
    "htdocs/img/stamp.svg": "static-file",
    "themes/dusk/page.conf": "theme",
    "errors/ERR_BALANCE": "error-text",
    "charsets/cp850.xml": "charset-table",
    "stopwords/finnish.txt": "dictionary",
    "load/chart-07.sql": "data-set",
    "i18n/fi/menu.lang": "message-catalog",
}
LEDGER_READ = (
    *("templates/home.tt", "htdocs/screen.css", "themes/day/page.conf", "errors/ERR_LOGIN"),
    *("charsets/latin1.xml", "stopwords/english.txt", "load/chart-01.sql", "i18n/en/menu.lang"),
)
WEATHER = {
    "rain/narvik.csv": "data-set",
    "labels_se.properties": "message-catalog",
    "sheets/evening.mustache": "template",
    "glyphs/Bold.pfb": "font",
    "/usr/share/zoneinfo/Arctic/Longyearbyen": "zoneinfo",
}
WEATHER_READ = (
    *("rain/bergen.csv", "labels_en.properties", "sheets/morning.mustache", "glyphs/Book.pfb"),
    "/usr/share/zoneinfo/Europe/Oslo",
)


def read_late(
    folder: Path, tree: Mapping[str, str], read: list[str], late: list[str], *options: str
) -> str:
    """Trace ``cat`` of some files, build at the level app, and ``cat`` others in the slim image."""
    full, trace = folder / "full", str(folder / "app.trace")
    slim = folder / f"slim{len(options)}"
    if not full.exists():
        busybox_root(full, {path.lstrip("/"): text for path, text in tree.items()})
        run = ("-q", "run", "--image", f"rootfs:{full}", "-o", trace, "--", "/bin/cat", *read)
        assert run_slimtrace(*run).returncode == 0
    build = ("-q", "build", trace, "-o", f"rootfs:{slim}", "--keep", "app", *options)
    built = run_slimtrace(*build)
    assert built.returncode == 0, built.stderr
    again = ("-q", "run", "--image", f"rootfs:{slim}", "--force", "-o", str(folder / "slim.trace"))
    done = run_slimtrace(*again, "--", "/bin/cat", *late)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("top", "late", "read", "is_packaged"),
    [
        ("/usr/share/ledger", LEDGER, LEDGER_READ, True),
        ("/var/lib/weather", WEATHER, WEATHER_READ, False),
    ],
    ids=["ledger", "weather"],
)
def test_what_no_run_read(
    tmp_path: Path, top: str, late: dict[str, str], read: tuple[str, ...], is_packaged: bool
) -> None:
    need_root()
    paths = {each: each if each[0] == "/" else f"{top}/{each}" for each in (*late, *read)}
    tree = {path: f"{name}\n" for name, path in paths.items()}
    if is_packaged:
        tree["/var/lib/dpkg/status"] = "Package: ledger\nStatus: install ok installed\n\n"
        tree["/var/lib/dpkg/info/ledger.list"] = "".join(f"{path}\n" for path in paths.values())
    used, asked = [paths[each] for each in read], [paths[each] for each in late]
    assert read_late(tmp_path, tree, used, asked) == "".join(f"{name}\n" for name in late)
    without = [word for rule in {*late.values()} for word in ("--without-rule", rule)]
    printed = read_late(tmp_path, tree, used, asked, *without)
    assert printed.count("No such file or directory") == len(late), printed
