"""Families of data: where a run read one member, the others are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from build_fixtures import TOUCHED, make_root

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.closure.rules.data import RULES
from slimtrace.builder.closure.rules.data.family import BOUND
from slimtrace.builder.closure.rules.data.fonts import BOUND as FONT_BOUND
from slimtrace.builder.closure.rules.data.language_tags import split_language
from slimtrace.builder.closure.rules.data.message_catalogs import BOUND as CATALOG_BOUND
from slimtrace.builder.model import Keep, Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


NOTHING = ""


def package(**lists: str) -> dict[str, str]:
    """A dpkg database: the files of each package, in one string."""
    status = "".join(f"Package: {name}\nStatus: install ok installed\n\n" for name in lists)
    info = {
        f"/var/lib/dpkg/info/{name}.list": "/.\n" + "\n".join(files.split()) + "\n"
        for name, files in lists.items()
    }
    return {"/var/lib/dpkg/status": status, **info}


def imply(
    top: Path, reason: str, read: Iterable[str], missing: Iterable[str] = ()
) -> dict[str, str]:
    """The files that one rule adds where these were read, and all warnings below ``warnings``."""
    rules = [rule for rule in RULES if rule.reason.value == reason]
    assert len(rules) == 1
    seeds = [Seed("/", TOUCHED), *(Seed(path, TOUCHED, load=True) for path in read)]
    selection = expand(Root(str(top)), seeds, RunEnvironment((), (), "/"), rules, missing)
    found = {path: entry.reasons[0].value for path, entry in selection.entries.items()}
    added = {path: why for path, why in found.items() if why == reason}
    return added | {"warnings": " ".join(selection.warnings)} if selection.warnings else added


class Case(NamedTuple):
    """A tree, the files that a run read, and which others are kept.

    :ivar kept: paths in one string; ``also`` are files that are left out.
    :ivar missing: paths that the run looked up.
    """

    reason: str
    read: str
    kept: str
    also: str
    more: Mapping[str, str | bytes] = {}
    missing: str = NOTHING


ZONES = "/usr/share/zoneinfo"
SYSTEM = "/usr/share/locale"
CASES = {
    "templates of a deb, below their folder": Case(
        "template",
        "/usr/share/ledger/templates/base.html",
        "/usr/share/ledger/templates/late.html /usr/share/ledger/templates/mail/bill.txt",
        "/usr/share/ledger/templates/code.py /usr/share/ledger/other.html"
        " /usr/share/ledger/templates/foreign.html",
        package(
            ledger="/usr/share/ledger/templates/base.html /usr/share/ledger/templates/late.html"
            " /usr/share/ledger/templates/mail/bill.txt /usr/share/ledger/templates/code.py"
            " /usr/share/ledger/other.html"
        ),
    ),
    "templates that nobody owns, beside one another": Case(
        "template", "/data/p/a.mustache", "/data/p/b.mustache", "/data/p/b.hbs /data/p/q/c.mustache"
    ),
    "templates of a deb elsewhere": Case(
        "template",
        "/usr/share/ledger/a.tmpl",
        NOTHING,
        "/usr/share/ledger/b.tmpl",
        package(ledger="/usr/share/ledger/a.tmpl /usr/share/ledger/b.tmpl"),
    ),
    "a domain of gettext in all languages": Case(
        "message-catalog",
        "/data/locale/de/LC_MESSAGES/shop.mo",
        "/data/locale/pt_BR/LC_MESSAGES/shop.mo /data/locale/sr@latin/LC_MESSAGES/shop.mo",
        "/data/locale/pt_BR/LC_MESSAGES/other.mo /data/locale/pt_BR/LC_MESSAGES/shop.po"
        " /data/locale/img/LC_MESSAGES/shop.mo",
    ),
    "a domain that was looked for": Case(
        "message-catalog",
        NOTHING,
        "/data/locale/de/LC_MESSAGES/shop.mo",
        "/data/locale/de/LC_MESSAGES/other.mo",
        missing="/data/locale/en/LC_MESSAGES/shop.mo /data/locale/js/LC_MESSAGES/other.mo",
    ),
    "the system's domains for installed locales alone": Case(
        "message-catalog",
        f"{SYSTEM}/de/LC_MESSAGES/tool.mo",
        f"{SYSTEM}/fr/LC_MESSAGES/tool.mo {SYSTEM}/pt_BR/LC_MESSAGES/tool.mo",
        f"{SYSTEM}/ja/LC_MESSAGES/tool.mo {SYSTEM}/pt/LC_MESSAGES/other.mo",
        {
            "/usr/lib/locale/fr_CA.utf8/LC_CTYPE": "",
            "/usr/lib/locale/locale-archive": b"head\0\0pt_BR.utf8\0\0de_DE.utf8\0",
        },
    ),
    "catalogs of Rails and Symfony": Case(
        "message-catalog",
        "/data/c/mailer.en.yml /data/t/en.json",
        "/data/c/mailer.fr.yml /data/c/mailer.pt-BR.yml /data/t/nds.json",
        "/data/c/mailer.yml /data/c/menu.fr.yml /data/t/app.json /data/t/nds.xml",
    ),
    "bundles of Java": Case(
        "message-catalog",
        "/data/messages.properties",
        "/data/messages_de.properties /data/messages_zh_TW.properties",
        "/data/messages_old_style.properties /data/other_de.properties",
    ),
    "folders of languages": Case(
        "message-catalog",
        "/data/lang/en/mail/menu.php /data/tr/en/app.en.ftl",
        "/data/lang/sv/mail/menu.php /data/tr/ja/app.ja.ftl",
        "/data/lang/sv/mail/more.php /data/lang/xx/mail/menu.php /data/tr/ja/app.en.php",
    ),
    "languages by their English names": Case(
        "message-catalog",
        "/usr/share/db/english/errmsg.sys",
        "/usr/share/db/german/errmsg.sys",
        "/usr/share/db/charsets/errmsg.sys",
        package(db="/usr/share/db/english/errmsg.sys /usr/share/db/german/errmsg.sys"),
    ),
    "all time zones": Case(
        "zoneinfo",
        f"{ZONES}/Europe/Oslo",
        f"{ZONES}/Asia/Tokyo {ZONES}/America/Indiana/Knox {ZONES}/zone1970.tab",
        f"{ZONES}/right/Asia/Tokyo {ZONES}/posix/Asia/Tokyo",
    ),
    "time zones for a program without a local one": Case(
        "zoneinfo", NOTHING, f"{ZONES}/Asia/Tokyo", "/data/zone", missing="/etc/localtime"
    ),
    "time zones for a library": Case(
        "zoneinfo", "/opt/py/lib/dateutil/tz/tz.py", f"{ZONES}/Asia/Tokyo", "/data/zone"
    ),
    "tables of charsets": Case(
        "charset-table",
        "/usr/share/db/charsets/latin1.xml /usr/share/tcl/encoding/cp1252.enc",
        "/usr/share/db/charsets/koi8r.xml /usr/share/tcl/encoding/euc-jp.enc",
        "/usr/share/db/other.xml",
        package(
            db="/usr/share/db/charsets/latin1.xml /usr/share/db/charsets/koi8r.xml"
            " /usr/share/db/other.xml",
            tcl="/usr/share/tcl/encoding/cp1252.enc /usr/share/tcl/encoding/euc-jp.enc",
        ),
    ),
    "static files": Case(
        "static-file",
        "/usr/share/wiki/htdocs/main.css",
        "/usr/share/wiki/htdocs/late.css /usr/share/wiki/htdocs/img/logo.svg",
        "/usr/share/wiki/htdocs/run.php /usr/share/wiki/main.css",
        package(
            wiki="/usr/share/wiki/htdocs/main.css /usr/share/wiki/htdocs/late.css"
            " /usr/share/wiki/htdocs/img/logo.svg /usr/share/wiki/htdocs/run.php"
            " /usr/share/wiki/main.css"
        ),
    ),
    "the other themes": Case(
        "theme",
        "/usr/share/term/themes/day/colors.conf",
        "/usr/share/term/themes/night/colors.conf",
        "/usr/share/term/themes/night/setup.py",
        package(
            term="/usr/share/term/themes/day/colors.conf /usr/share/term/themes/night/colors.conf"
            " /usr/share/term/themes/night/setup.py"
        ),
    ),
    "texts of errors": Case(
        "error-text",
        "/usr/share/proxy/errors/en/ERR_DNS",
        "/usr/share/proxy/errors/en/ERR_READ /usr/share/proxy/errors/ja/ERR_DNS",
        "/usr/share/proxy/ERR_OTHER",
        package(
            proxy="/usr/share/proxy/errors/en/ERR_DNS /usr/share/proxy/errors/en/ERR_READ"
            " /usr/share/proxy/errors/ja/ERR_DNS /usr/share/proxy/ERR_OTHER"
        ),
    ),
    "numbered files of a deb": Case(
        "data-set",
        "/usr/share/bank/load-01.sql",
        "/usr/share/bank/load-02.sql /usr/share/bank/load-10.sql",
        "/usr/share/bank/drop.sql /usr/share/bank/load-03.csv",
        package(
            bank="/usr/share/bank/load-01.sql /usr/share/bank/load-02.sql"
            " /usr/share/bank/load-10.sql /usr/share/bank/drop.sql /usr/share/bank/load-03.csv"
        ),
    ),
    "data that nobody owns": Case(
        "data-set", "/data/rain/bergen.csv", "/data/rain/oslo.csv", "/data/rain/oslo.bak"
    ),
    "nothing of /etc": Case("data-set", "/etc/app.json", NOTHING, "/etc/other.json"),
    "dictionaries of any package": Case(
        "dictionary",
        "/usr/share/hunspell/en_US.aff",
        "/usr/share/hunspell/en_US.dic /usr/share/hunspell/sv_SE.dic",
        "/usr/share/hyph_sv.dic",
        package(en="/usr/share/hunspell/en_US.aff", sv="/usr/share/hunspell/sv_SE.dic"),
    ),
    "dictionaries in the package of a program that ran": Case(
        "dictionary",
        "/usr/lib/db/bin/server",
        "/usr/share/db/tsearch_data/sv.stop",
        "/usr/share/db/other.stop /usr/share/db/tsearch_data/foreign.stop",
        package(
            db="/usr/lib/db/bin/server /usr/share/db/tsearch_data/sv.stop /usr/share/db/o.stop"
        ),
    ),
    "abbreviations of zones": Case(
        "zoneinfo", "/usr/share/db/timezonesets/Default", "/usr/share/db/timezonesets/India", ZONES
    ),
    "the fonts beside a font": Case(
        "font", "/data/f/a.ttf", "/data/f/b.ttf", "/data/f/c.otf /data/g/d.ttf"
    ),
    "fonts that fontconfig finds": Case(
        "font",
        "/usr/lib/x/libfontconfig.so.1.12",
        "/usr/share/fonts/a/a.ttf /opt/fonts/b.otf /etc/fonts/fonts.conf /etc/fonts/conf.d/1.conf",
        "/usr/share/fonts/a/readme /srv/c.ttf",
        {"/etc/fonts/fonts.conf": "<dir>/opt/fonts</dir><dir prefix='xdg'>fonts</dir>"},
    ),
    "tables of file types": Case(
        "mime-table",
        "/usr/lib/python3.11/mimetypes.py /usr/lib/x/libgio-2.0.so.0.1",
        "/etc/mime.types /usr/share/mime/mime.cache /usr/share/mime/globs2",
        "/usr/share/mime/text/plain.xml /usr/share/misc/magic.mgc",
    ),
    "what programs are": Case(
        "template",
        "/data/t/templates/a.html",
        NOTHING,
        "/data/t/templates/b.sh /data/t/templates/c",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_members_of_a_family(tmp_path: Path, case: Case) -> None:
    read, kept = case.read.split(), case.kept.split()
    tree = dict.fromkeys([*read, *kept, *case.also.split()], "x")
    modes = {path: 0o755 for path in read if "/bin/" in path}
    top = make_root(tmp_path / "root", {**tree, **case.more}, **modes)
    found = imply(top, case.reason, read, case.missing.split())
    assert found == dict.fromkeys(kept, case.reason)


def test_each_rule_has_a_case_a_level_and_a_switch() -> None:
    names = {rule.reason.value for rule in RULES}
    assert {case.reason for case in CASES.values()} == names
    at = {keep: {rule.reason.value for rule in choose_rules(keep)} & names for keep in Keep}
    assert at == {Keep.TOUCHED: set(), Keep.CLOSURE: set(), Keep.APP: names, Keep.PACKAGE: names}
    for name in names:
        assert name not in {rule.reason.value for rule in choose_rules(Keep.APP, [name])}


def test_a_folder_with_too_much_is_said_and_left_out(tmp_path: Path) -> None:
    """One of many files, and one of large ones; at a size that is just allowed, all are kept."""
    many: dict[str, str | bytes] = {f"/data/many/{at}.csv": "" for at in range(BOUND.files + 1)}
    large: dict[str, str | bytes] = {
        "/data/large/a.csv": "x",
        "/data/large/b.csv": bytes(BOUND.size),
    }
    fits: dict[str, str | bytes] = {
        "/data/fits/a.csv": "x",
        "/data/fits/b.csv": bytes(BOUND.size - 1),
    }
    top = make_root(tmp_path / "root", {**many, **large, **fits})
    found = imply(top, "data-set", ["/data/many/1.csv"])
    assert found.keys() == {"warnings"}
    assert "/data/many is too large for the rule data-set: " in str(found)
    assert f" {BOUND.files + 1} files" in str(found)
    found = imply(top, "data-set", ["/data/large/a.csv"])
    assert found.keys() == {"warnings"}
    assert "--include '/data/large/**'" in str(found)
    assert imply(top, "data-set", ["/data/fits/a.csv"]) == {"/data/fits/b.csv": "data-set"}


def test_a_folder_has_one_warning(tmp_path: Path) -> None:
    """Though each of its files is in too many languages; that of the largest."""
    names = {name: f"/data/text/{{}}/{name}.bin" for name in ("one", "two")}
    tree: dict[str, str | bytes] = {path.format("en"): "" for path in names.values()}
    tree |= {names["one"].format("de"): bytes(CATALOG_BOUND.size + 1)}
    tree |= {names["two"].format("fr"): bytes(CATALOG_BOUND.size + 2)}
    top = make_root(tmp_path / "root", tree)
    found = imply(top, "message-catalog", [path.format("en") for path in names.values()])
    assert found.keys() == {"warnings"}
    assert str(found).count("/data/text is too large for the rule message-catalog") == 1


def test_of_too_many_fonts_those_that_the_settings_name(tmp_path: Path) -> None:
    names: dict[str, str | bytes] = {
        "/usr/share/fonts/Wide-Sans.ttf": bytes(1 << 10),
        "/usr/share/fonts/w/Other.ttf": "",
    }
    large: dict[str, str | bytes] = {"/usr/share/fonts/Large.ttf": bytes(FONT_BOUND.size)}
    settings = {"/etc/fonts/conf.d/60.conf": "<prefer><family>Wide Sans</family></prefer>"}
    library = "/usr/lib/libfontconfig.so.1"
    top = make_root(tmp_path / "root", {**names, **large, **settings, library: ""})
    found = imply(top, "font", [library])
    assert found.keys() == {"warnings", "/usr/share/fonts/Wide-Sans.ttf", *settings}


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("en", ("", "en")),
        ("app.en", ("app.", "en")),
        ("app_pt_BR", ("app_", "pt_BR")),
        ("app-zh-Hant-TW", ("app-", "zh-Hant-TW")),
        ("x.es-419", ("x.", "es-419")),
        ("sr@latin", ("", "sr@latin")),
        ("de_DE.UTF-8", ("", "de_DE.UTF-8")),
        ("old_style", None),
        ("app.js", None),
        ("english", None),
    ],
)
def test_languages_in_names(stem: str, split: tuple[str, str] | None) -> None:
    assert split_language(stem) == split
