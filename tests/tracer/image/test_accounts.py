"""Malformed lines in passwd and group tables; the results are those of container engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_run
from engine import podman_run
from roots import busybox_root

from slimtrace.builder.check.user_lookup import look_up_user
from slimtrace.builder.config.user import image_user
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.image.accounts import AccountLookup, look_up_account, parse_number
from slimtrace.tracer.sandbox.users import find_account

if TYPE_CHECKING:
    from pathlib import Path

USERS = """\
root:x:0:0:root:/root:/bin/sh
# a comment
app:x:1000:1000
nogid:x:7::
odd:x:many:9::/:/bin/sh
short

  spaces:x:8:8::/home/spaces:/bin/sh
1234:x:77:78::/:/bin/sh
plus:x:+9:-0::/:/bin/sh
web:x:33:44::/srv:/bin/sh
web:x:34:45::/other:/bin/sh
shared:x:33:46::/shared:/bin/sh
extra:x:35:35::/extra:/bin/sh:field
"""
GROUPS = """\
root:x:0:
#comment:x:50:web
files:x:51:root,web
short:x:52
odd:x:many:web
99:x:98:
spaces:x:53:web, web
last:x:54:web"""
HUGE = 99_999_999_999
TABLES = {"/etc/passwd": f"{USERS}huge:x:{HUGE}:5::/:\n", "/etc/group": GROUPS}

CASES = {
    "": AccountLookup(0, 0, (51,), "/root"),
    "0": AccountLookup(0, 0, (51,), "/root"),
    "app": AccountLookup(1000, 1000),
    "nogid": AccountLookup(7, 0),
    "odd": AccountLookup(0, 9),
    "short": AccountLookup(0, 0),
    "spaces": AccountLookup(8, 8, (), "/home/spaces"),
    "1234": AccountLookup(1234, 0),
    "77": AccountLookup(77, 78),
    "plus": AccountLookup(9, 0),
    "+33": AccountLookup(33, 44, (51, 0, 53, 54), "/srv"),
    "web": AccountLookup(33, 44, (51, 0, 53, 54), "/srv"),
    "web:short": AccountLookup(33, 52, (), "/srv"),
    "web:odd": AccountLookup(33, 0, (), "/srv"),
    "web:99": AccountLookup(33, 99, (), "/srv"),
    "web:files:more": AccountLookup(33, 51, (), "/srv"),
    "extra": AccountLookup(35, 35, (), "/extra"),
    "6:7": AccountLookup(6, 7),
    ":files": AccountLookup(0, 51, (), "/root"),
}
UNKNOWN = {
    "nobody": AccountLookup(None, None),
    "nobody:files": AccountLookup(None, None),
    "web:nobody": AccountLookup(33, None, (), "/srv"),
    "web:#comment": AccountLookup(33, None, (), "/srv"),
}
OUT_OF_RANGE = {
    "huge": AccountLookup(HUGE, 5),
    f"{HUGE}": AccountLookup(HUGE, 5),
    "-1": AccountLookup(-1, 0),
    "4294967295": AccountLookup(4294967295, 0),
    "0:4294967295": AccountLookup(0, 4294967295, (), "/root"),
    "9" * 5000: AccountLookup((1 << 63) - 1, 0),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_root(
        tmp_path_factory.mktemp("accounts") / "root",
        {path.lstrip("/"): text for path, text in TABLES.items()},
    )


@pytest.mark.parametrize(
    ("user", "expected"), [*CASES.items(), *UNKNOWN.items(), *OUT_OF_RANGE.items()]
)
def test_lookup(user: str, expected: AccountLookup) -> None:
    assert look_up_account(user, TABLES.__getitem__) == expected


@pytest.mark.parametrize(("user", "expected"), CASES.items())
def test_run_build_and_check_agree(root: Path, user: str, expected: AccountLookup) -> None:
    ids = (expected.uid, expected.gid)
    assert find_account(str(root), user) == (*ids, expected.groups, expected.home)
    found = look_up_user(Root(str(root)), user)
    assert (found.uid, found.gid) == ids
    if not user.startswith(":") and user:  # build wants a name or a number
        assert image_user(Root(str(root)), make_run(root), user) == ids


@pytest.mark.parametrize(
    ("user", "expected"),
    [(user, CASES[user]) for user in ("app", "nogid", "odd", "short", "1234", "plus", "web")],
)
def test_podman_agrees(root: Path, user: str, expected: AccountLookup) -> None:
    script = 'while read -r name a b c; do echo "$name $a $b $c"; done < /proc/self/status'
    done = podman_run("--user", user, "--rootfs", str(root), "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    uid, gid = (lines[name].split()[0] for name in ("Uid", "Gid"))
    assert (int(uid), int(gid)) == (expected.uid, expected.gid)


@pytest.mark.parametrize("user", [*UNKNOWN, *OUT_OF_RANGE])
def test_run_and_build_refuse(root: Path, user: str) -> None:
    with pytest.raises(SlimtraceError, match="cannot run as"):
        find_account(str(root), user)
    with pytest.raises(SlimtraceError, match="cannot use --user"):
        image_user(Root(str(root)), make_run(root), user)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("007", 7),
        ("+7", 7),
        ("-7", -7),
        ("0", 0),
        ("-0", 0),
        ("", None),
        ("+", None),
        ("7 ", None),
        ("7\n", None),
        ("1_000", None),
        ("0x7", None),
        ("٣", None),
    ],
)
def test_numbers_are_those_of_go(text: str, number: int | None) -> None:
    assert parse_number(text) == number
