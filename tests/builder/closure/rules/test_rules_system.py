"""The files that touched files of C programs and of the system imply, rule by rule."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, compile_library, describe_selection, make_root
from requirements import need, skip_missing

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import (
    RULES,
    choose_rules,
    directory_listing,
    dlopen,
    locale,
    nss,
)
from slimtrace.builder.model import Keep, Reason, Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from slimtrace.builder.closure.rule import ClosureRule

LIB = "/usr/lib/x86_64-linux-gnu"


def find_implied(
    top: Path | str,
    *paths: str,
    env: Mapping[str, str] | None = None,
    lists: Iterable[str] = (),
    without: Iterable[str] = (),
) -> dict[str, str]:
    """The implied files if these are touched or listed: own path → reason."""
    wanted = [Seed(path, TOUCHED, load=True) for path in paths]
    wanted += [Seed(path, TOUCHED, is_listed=True) for path in lists]
    around = RunEnvironment(("/usr/bin",), (), "/", env or {})
    names = {rule.reason for rule in SYSTEM}
    rules = [rule for rule in choose_rules(Keep.CLOSURE, without) if rule.reason in names]
    selection = expand(Root(str(top)), wanted, around, rules)
    last = {path: line.split()[-1] for path, line in describe_selection(selection).items()}
    return {path: why for path, why in last.items() if why in names}


SYSTEM: tuple[ClosureRule, ...] = tuple(
    rule
    for rule in RULES
    if rule.reason
    in {
        Reason.DLOPENED_LIBRARY,
        Reason.NSS_MODULE,
        Reason.LOCALE,
        Reason.GCONV,
        Reason.TERMINFO,
        Reason.CERTIFICATE,
        Reason.LISTED,
    }
)


def program(top: Path, path: str, *constants: str, flags: tuple[str, ...] = ()) -> None:
    """A library that has these constants in its read-only data."""
    library_path = top / path.lstrip("/")
    library_path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'const char c{i}[] = "{text}";' for i, text in enumerate(constants)]
    subprocess.run(
        [
            *["gcc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-", "-x", "none", "-o"],
            str(library_path),
            *flags,
        ],
        input="\n".join(lines).encode(),
        check=True,
    )


# summary, constant in /usr/lib/…/libapp.so, library in the tree, whether it is implied
CONSTANTS = [
    ("a soname", "libx.so.1", f"{LIB}/libx.so.1", True),
    ("without a version", "libx.so", f"{LIB}/libx.so", True),
    ("with dots and plus signs", "libx++-2.0.so.6", f"{LIB}/libx++-2.0.so.6", True),
    ("an absolute path", "/opt/plugin/x.so", "/opt/plugin/x.so", True),
    ("not on the search path", "libx.so.1", "/opt/libx.so.1", False),
    ("a pattern", "lib%s.so", f"{LIB}/libx.so", False),
    ("a part of a sentence", "cannot open libx.so.1", f"{LIB}/libx.so.1", False),
    ("a name that goes on", "libx.so.1.txt", f"{LIB}/libx.so.1", False),
    ("no library's name", "x.so", f"{LIB}/x.so", False),
]


@pytest.mark.parametrize(
    ("constant", "lies", "is_implied"),
    [row[1:] for row in CONSTANTS],
    ids=[r[0] for r in CONSTANTS],
)
def test_constants_that_name_a_library(
    tmp_path: Path, constant: str, lies: str, is_implied: bool
) -> None:
    need("gcc")
    program(tmp_path, f"{LIB}/libapp.so", "before", constant, "after")
    compile_library(tmp_path / lies.lstrip("/"))
    expected = {lies: "dlopened-library"} if is_implied else {}
    assert find_implied(tmp_path, f"{LIB}/libapp.so") == expected
    assert find_implied(tmp_path, f"{LIB}/libapp.so", without=["dlopened-library"]) == {}


def test_a_library_brings_what_it_needs_and_not_what_it_names(tmp_path: Path) -> None:
    """The app names a; a needs b and names c, which stays out. What the app needs is read too."""
    need("gcc")
    for name in ("b", "c", "d"):
        compile_library(
            tmp_path / f"{LIB}/lib{name}.so.1".lstrip("/"), f"-Wl,-soname,lib{name}.so.1"
        )
    a, b = (tmp_path / f"{LIB}/lib{name}.so.1".lstrip("/") for name in "ab")
    program(tmp_path, f"{LIB}/liba.so.1", "libc.so.1", flags=("-Wl,--no-as-needed", str(b)))
    program(tmp_path, f"{LIB}/libe.so.1", "libd.so.1", flags=("-Wl,-soname,libe.so.1",))
    e = tmp_path / f"{LIB}/libe.so.1".lstrip("/")
    program(tmp_path, "/app.so", "liba.so.1", flags=("-Wl,--no-as-needed", str(e)))
    assert a.exists()
    assert find_implied(tmp_path, "/app.so") == {
        f"{LIB}/liba.so.1": "dlopened-library",
        f"{LIB}/libd.so.1": "dlopened-library",
    }


def test_without_section_headers_the_whole_file_is_looked_at(tmp_path: Path) -> None:
    need("gcc")
    program(tmp_path, "/app.so", "libx.so.1")
    compile_library(tmp_path / f"{LIB}/libx.so.1".lstrip("/"))
    library_path = tmp_path / "app.so"
    head = bytearray(library_path.read_bytes())
    head[0x28:0x30] = bytes(8)  # e_shoff
    head[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    library_path.write_bytes(head)
    assert find_implied(tmp_path, "/app.so") == {f"{LIB}/libx.so.1": "dlopened-library"}


def glibc() -> str:
    """The own path of the C library of this machine."""
    for folder in ("/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"):
        if os.path.exists(f"{folder}/libc.so.6"):
            return os.path.realpath(f"{folder}/libc.so.6")
    return skip_missing("glibc")


def test_glibc_opens_libgcc_to_cancel_a_thread() -> None:
    libc = glibc()
    expected = f"{os.path.dirname(libc)}/libgcc_s.so.1"
    if not os.path.exists(expected):
        skip_missing("libgcc_s.so.1")
    assert find_implied("/", libc)[expected] == "dlopened-library"


@pytest.mark.parametrize(
    ("library", "name"), [("libc.so.6", "libidn2.so.0"), ("libnet.so", "libgio-2.0.so.0")]
)
def test_a_library_does_not_bring_what_it_opens_on_a_flag_alone(
    tmp_path: Path, library: str, name: str
) -> None:
    """If an app names it, it is implied."""
    need("gcc")
    soname = (f"-Wl,-soname,{library}",)
    program(tmp_path, f"{LIB}/{library}", name, "libgcc_s.so.1", flags=soname)
    program(tmp_path, "/app.so", name)
    for each in (name, "libgcc_s.so.1"):
        compile_library(tmp_path / f"{LIB}/{each}".lstrip("/"))
    assert find_implied(tmp_path, f"{LIB}/{library}") == {
        f"{LIB}/libgcc_s.so.1": "dlopened-library"
    }
    assert find_implied(tmp_path, "/app.so") == {f"{LIB}/{name}": "dlopened-library"}


def test_a_large_program_takes_less_than_a_second() -> None:
    need("node")
    started = time.process_time()
    find_implied("/", "/usr/bin/node")
    assert time.process_time() - started < 3  # 0.3 s on an idle machine


NSSWITCH = """
# a comment: files
passwd:         files systemd   # and another
hosts:          files mdns4_minimal [NOTFOUND=return] dns
netgroup:nis
"""


def test_services_of_nsswitch() -> None:
    assert nss.parse_services(NSSWITCH) == {
        "passwd": ["files", "systemd"],
        "hosts": ["files", "mdns4_minimal", "dns"],
        "netgroup": ["nis"],
    }


def system(top: Path, tree: Mapping[str, str | bytes | None]) -> Path:
    """A tree with a C library that names no files."""
    need("gcc")
    make_root(top, tree)
    compile_library(top / f"{LIB}/libc.so.6".lstrip("/"), "-Wl,-soname,libc.so.6")
    return top


def test_modules_of_services_that_nsswitch_names(tmp_path: Path) -> None:
    tree: dict[str, str | bytes | None] = {
        "/etc/nsswitch.conf": NSSWITCH,
        "/etc/host.conf": "multi on\n",
        "/lib": "-> usr/lib",
    }
    system(tmp_path, tree)
    for service in ("systemd", "dns", "ldap"):
        compile_library(tmp_path / f"{LIB}/libnss_{service}.so.2".lstrip("/"))
    libc = f"{LIB}/libc.so.6"
    assert find_implied(tmp_path, libc, "/etc/nsswitch.conf") == {
        f"{LIB}/libnss_systemd.so.2": "nss-module",
        f"{LIB}/libnss_dns.so.2": "nss-module",
        "/etc/host.conf": "nss-module",
    }
    assert find_implied(tmp_path, libc) == {}  # a run that did not read it uses no service
    assert find_implied(tmp_path, "/etc/nsswitch.conf") == {}  # without a libc there is no service
    assert find_implied(tmp_path, libc, "/etc/nsswitch.conf", without=["nss-module"]) == {}


def test_users_and_groups_go_together(tmp_path: Path) -> None:
    make_root(tmp_path, {"/etc/passwd": "root:x:0:0::/:/bin/sh\n", "/etc/group": "root:x:0:\n"})
    assert find_implied(tmp_path, "/etc/passwd") == {"/etc/group": "nss-module"}
    assert find_implied(tmp_path, "/etc/group") == {"/etc/passwd": "nss-module"}
    assert find_implied(tmp_path, "/etc/passwd", without=["nss-module"]) == {}


LOCALES: dict[str, str | bytes | None] = {
    "/usr/lib/locale/C.utf8/LC_CTYPE": "C",
    "/usr/lib/locale/de_DE.utf8/LC_CTYPE": "de",
    "/usr/lib/locale/de_DE.utf8/LC_MESSAGES/SYS_LC_MESSAGES": "de",
    "/usr/lib/locale/de_DE.iso885915@euro/LC_CTYPE": "de",
    "/usr/lib/locale/fr_FR/LC_CTYPE": "fr",
    "/usr/share/locale/locale.alias": "deutsch de_DE.ISO-8859-1\n",
    "/srv/locale/en_US.UTF-8/LC_TIME": "en",
}
# summary, variables, implied files (relative to /usr/lib/locale)
NAMED: list[tuple[str, dict[str, str], list[str]]] = [
    ("none", {}, []),
    ("built in", {"LANG": "C", "LC_ALL": "POSIX", "LC_TIME": ""}, []),
    ("normalised codeset", {"LANG": "C.UTF-8"}, ["C.utf8/LC_CTYPE"]),
    (
        "with messages",
        {"LC_ALL": "de_DE.UTF-8"},
        ["de_DE.utf8/LC_CTYPE", "de_DE.utf8/LC_MESSAGES/SYS_LC_MESSAGES"],
    ),
    ("a modifier", {"LC_TIME": "de_DE.ISO-8859-15@euro"}, ["de_DE.iso885915@euro/LC_CTYPE"]),
    ("without codeset", {"LC_TIME": "fr_FR.UTF-8"}, ["fr_FR/LC_CTYPE"]),
    ("not installed", {"LANG": "it_IT.UTF-8"}, []),
    (
        "LOCPATH",
        {"LANG": "en_US.UTF-8", "LOCPATH": "/nowhere:/srv/locale"},
        ["/srv/locale/en_US.UTF-8/LC_TIME"],
    ),
]


@pytest.mark.parametrize(("env", "files"), [row[1:] for row in NAMED], ids=[r[0] for r in NAMED])
def test_locales_that_variables_name(tmp_path: Path, env: dict[str, str], files: list[str]) -> None:
    system(tmp_path, LOCALES)
    found = find_implied(tmp_path, f"{LIB}/libc.so.6", env=env, without=["gconv"])
    assert set(found.values()) <= {"locale"}
    aliases = {"/usr/share/locale/locale.alias"} if locale.list_locale_names(env) else set()
    assert set(found) - aliases == {os.path.join("/usr/lib/locale", file) for file in files}
    assert find_implied(tmp_path, f"{LIB}/libc.so.6", env=env, without=["gconv", "locale"]) == {}


def test_an_archive_of_locales_is_kept_where_it_holds_one(tmp_path: Path) -> None:
    need("localedef")
    system(tmp_path, LOCALES)
    there = tmp_path / "usr/lib/locale"
    if not os.path.exists("/usr/share/i18n/locales/de_CH"):
        skip_missing("locale sources")
    argv = ["localedef", "--prefix", str(tmp_path), "-i", "de_CH", "-f", "UTF-8", "de_CH.UTF-8"]
    subprocess.run(argv, check=True)
    assert (there / "locale-archive").exists()
    libc = f"{LIB}/libc.so.6"
    aliases = "/usr/share/locale/locale.alias"
    assert set(find_implied(tmp_path, libc, env={"LANG": "de_CH.UTF-8"})) == {
        "/usr/lib/locale/locale-archive",
        aliases,
    }
    assert set(find_implied(tmp_path, libc, env={"LANG": "C.UTF-8"})) == {
        "/usr/lib/locale/C.utf8/LC_CTYPE",
        aliases,
    }


GCONV: dict[str, str | bytes | None] = {
    f"{LIB}/gconv/gconv-modules": "alias LATIN1// ISO-8859-1//\n",
    f"{LIB}/gconv/gconv-modules.cache": "cache",
    f"{LIB}/gconv/gconv-modules.d/extra.conf": (
        "#\tfrom\tto\tmodule\tcost\n"
        "alias\tISO8859-1//\tISO-8859-1//\n"
        "module\tISO-8859-1//\tINTERNAL\tISO8859-1\t1\n"
        "module\tINTERNAL\tISO-8859-1//\tISO8859-1\t1\n"
        "module\tEUC-JP//\tINTERNAL\tEUC-JP\t1\n"
    ),
    f"{LIB}/gconv/ISO8859-1.so": "module",
    f"{LIB}/gconv/EUC-JP.so": "module",
}
TABLES = {"gconv-modules", "gconv-modules.cache", "gconv-modules.d/extra.conf"}
# summary, touched files apart from libc, LANG, implied files of the folder gconv
CHARSETS: list[tuple[str, list[str], str, set[str]]] = [
    ("UTF-8", [], "de_DE.UTF-8", set()),
    ("ASCII", [], "de_DE.US-ASCII", set()),
    ("by its name", [], "de_DE.ISO-8859-1", TABLES | {"ISO8859-1.so"}),
    ("by an alias", [], "de_DE.iso8859-1@x", TABLES | {"ISO8859-1.so"}),
    ("unknown", [], "de_DE.KLINGON", set()),
    ("a module", ["EUC-JP.so"], "C", TABLES),
    ("a table", ["gconv-modules"], "C", TABLES - {"gconv-modules"}),
    ("the cache, which stands for the tables", ["gconv-modules.cache"], "C", set()),
    (
        "a table in gconv-modules.d",
        ["gconv-modules.d/extra.conf"],
        "C",
        TABLES - {"gconv-modules.d/extra.conf"},
    ),
]


@pytest.mark.parametrize(
    ("touched", "lang", "files"), [row[1:] for row in CHARSETS], ids=[r[0] for r in CHARSETS]
)
def test_converters(tmp_path: Path, touched: list[str], lang: str, files: set[str]) -> None:
    system(tmp_path, GCONV)
    paths = [f"{LIB}/libc.so.6", *(f"{LIB}/gconv/{name}" for name in touched)]
    found = find_implied(tmp_path, *paths, env={"LANG": lang})
    assert found == {f"{LIB}/gconv/{file}": "gconv" for file in files}
    assert find_implied(tmp_path, *paths, env={"LANG": lang}, without=["gconv"]) == {}


def test_terminals_of_a_program_that_draws(tmp_path: Path) -> None:
    system(
        tmp_path,
        {
            "/lib/terminfo/x/xterm": "x",
            "/etc/terminfo/d/dumb": "d",
            "/usr/share/terminfo/76/vt100": "v",
            "/lib/terminfo/w/wyse50": "w",
        },
    )
    compile_library(tmp_path / f"{LIB}/libtinfo.so.6.4".lstrip("/"))
    assert find_implied(tmp_path, f"{LIB}/libtinfo.so.6.4", env={"TERM": "wyse50"}) == {
        "/lib/terminfo/x/xterm": "terminfo",
        "/etc/terminfo/d/dumb": "terminfo",
        "/usr/share/terminfo/76/vt100": "terminfo",
    }
    assert find_implied(tmp_path, f"{LIB}/libtinfo.so.6.4", without=["terminfo"]) == {}
    assert find_implied(tmp_path, f"{LIB}/libc.so.6") == {}


CERTIFICATES: dict[str, str | bytes | None] = {
    "/etc/ssl/certs/ca-certificates.crt": "bundle",
    "/etc/ssl/certs/Some_CA.pem": "-> /usr/share/ca-certificates/mozilla/Some_CA.crt",
    "/etc/ssl/certs/0b1b94ef.0": "-> Some_CA.pem",
    "/etc/ssl/certs/Gone.pem": "-> /nowhere.crt",
    "/etc/ssl/certs/java/cacerts": "a store",
    "/etc/ssl/certs/README": "text",
    "/etc/ssl/private/key.pem": "key",
    "/etc/ssl/openssl.cnf": "[provider_sect]\ndefault = default_sect\nlegacy = legacy_sect\n",
    "/usr/lib/ssl/certs": "-> /etc/ssl/certs",
    "/usr/lib/ssl/private": "-> /etc/ssl/private",
    "/usr/share/ca-certificates/mozilla/Some_CA.crt": "CA",
    "/usr/share/ca-certificates/mozilla/Off.crt": "CA",
}


@pytest.mark.parametrize(
    "name", ["libssl.so.3", "libssl.so.1.1", "libgnutls.so.30", "libnss3.so", "libmbedtls.so.14"]
)
def test_certificates_where_a_tls_library_is_kept(tmp_path: Path, name: str) -> None:
    need("gcc")
    make_root(tmp_path, CERTIFICATES)
    for library in (name, "ossl-modules/legacy.so", "ossl-modules/fips.so"):
        compile_library(tmp_path / f"{LIB}/{library}".lstrip("/"))
    assert find_implied(tmp_path, f"{LIB}/{name}") == dict.fromkeys(
        [
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/ssl/openssl.cnf",
            "/usr/share/ca-certificates/mozilla/Some_CA.crt",
            f"{LIB}/ossl-modules/legacy.so",
        ],
        "certificate",
    )
    assert find_implied(tmp_path, f"{LIB}/{name}", without=["certificate"]) == {}


@pytest.mark.parametrize("name", ["libsslx.so.3", "libnss_dns.so.2", "libnss3.so.txt"])
def test_what_is_named_alike_is_no_tls_library(tmp_path: Path, name: str) -> None:
    need("gcc")
    make_root(tmp_path, CERTIFICATES)
    compile_library(tmp_path / f"{LIB}/{name}".lstrip("/"))
    assert find_implied(tmp_path, f"{LIB}/{name}") == {}


# summary, tree, listed directories, files that were read, implied files
LISTINGS: list[tuple[str, dict[str, str | bytes | None], list[str], list[str], list[str]]] = [
    (
        "templates",
        {"/srv/t/a.html": "", "/srv/t/b.html": "", "/srv/t/sub/c.html": "", "/srv/u/d": ""},
        ["/srv/t"],
        [],
        ["/srv/t/a.html", "/srv/t/b.html"],
    ),
    ("modules lie there", {"/srv/app.py": "", "/srv/conf.ini": ""}, ["/srv"], [], []),
    ("a versioned library", {"/opt/libx.so.1": "", "/opt/x.txt": ""}, ["/opt"], [], []),
    ("conf.d", {"/etc/app/conf.d/a.conf": ""}, ["/etc/app/conf.d"], [], ["/etc/app/conf.d/a.conf"]),
    (
        "/etc: the siblings of what was read",
        {
            "/etc/a.conf": "",
            "/etc/b.conf": "",
            "/etc/c.ini": "",
            "/etc/motd": "",
            "/etc/issue": "",
        },
        ["/etc"],
        ["/etc/a.conf", "/etc/motd"],
        ["/etc/b.conf"],
    ),
    ("the root", {"/a.txt": ""}, ["/"], [], []),
    ("the PATH", {"/usr/bin/readme": ""}, ["/usr/bin"], [], []),
    ("time zones", {"/usr/share/zoneinfo/Zulu": ""}, ["/usr/share/zoneinfo"], [], []),
    ("a home", {"/home/me/notes": "", "/root/x": ""}, ["/home/me", "/root"], [], []),
    ("below a home", {"/home/me/app/x.txt": ""}, ["/home/me/app"], [], ["/home/me/app/x.txt"]),
    ("a database", {"/var/lib/dpkg/info/x.list": ""}, ["/var/lib/dpkg/info"], [], []),
    ("metadata", {"/s/x.dist-info/RECORD": ""}, ["/s/x.dist-info"], [], []),
    ("a repository", {"/srv/.git/refs/x": ""}, ["/srv/.git/refs"], [], []),
    ("a link", {"/srv/t/l": "-> /data/x", "/data/x": ""}, ["/srv/t"], [], ["/data/x"]),
    ("a dangling one", {"/srv/t/l": "-> /data/x"}, ["/srv/t"], [], []),
]


@pytest.mark.parametrize(
    ("tree", "lists", "reads", "expected"),
    [row[1:] for row in LISTINGS],
    ids=[r[0] for r in LISTINGS],
)
def test_listed_directories(
    tmp_path: Path,
    tree: dict[str, str | bytes | None],
    lists: list[str],
    reads: list[str],
    expected: list[str],
) -> None:
    make_root(tmp_path, tree)
    assert find_implied(tmp_path, *reads, lists=lists) == dict.fromkeys(expected, "listed")
    assert find_implied(tmp_path, *reads, lists=lists, without=["listed"]) == {}
    assert find_implied(tmp_path, *lists) == {}  # touched, but not listed


def test_programs_in_a_listed_directory_stay_out(tmp_path: Path) -> None:
    make_root(tmp_path, {"/srv/t/run": "#!/x", "/srv/t/text": ""}, **{"/srv/t/run": 0o755})
    assert find_implied(tmp_path, lists=["/srv/t"]) == {"/srv/t/text": "listed"}


def test_a_directory_of_data_is_not_taken_for_discovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_root(tmp_path, {"/srv/a": "xx", "/srv/b": "yy"})
    for name, most, expected in (
        ("MAX_LISTED_BYTES", 4, 2),
        ("MAX_LISTED_BYTES", 3, 0),
        ("MAX_LISTED_FILES", 1, 0),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(directory_listing, name, most)
            assert len(find_implied(tmp_path, lists=["/srv"])) == expected


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.reason for rule in RULES}) == len(RULES)
    assert dlopen.RULE in RULES
