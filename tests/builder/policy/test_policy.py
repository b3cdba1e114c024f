"""Secrets stay out; files that the image's user cannot read give a warning or become readable."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, describe_selection, make_context, make_root, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.model import Cause, Entry, KeptPath, Kind, Reason, Selection
from slimtrace.builder.pipeline import select
from slimtrace.builder.policy.access import grant_read, warn_of_access
from slimtrace.builder.policy.secrets import find_secrets
from slimtrace.builder.root.root import Root
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from pathlib import Path

DASHES = "-----"  # so that no scanner reports this file as a key


def pem(what: str) -> str:
    return f"{DASHES}BEGIN {what}{DASHES}\nAAAA\n{DASHES}END {what}{DASHES}\n"


SECRETS: dict[str, str | bytes | None] = {
    "/home/u/.ssh/id_ed25519": "x",
    "/home/u/.ssh/config": "x",
    "/home/u/.gnupg/private/a": "x",
    "/etc/ssh/ssh_host_rsa_key": "x",
    "/srv/key.pem": pem("RSA PRIVATE KEY"),
    "/srv/chain.pem": "\n" + pem("CERTIFICATE") * 40 + pem("PRIVATE KEY"),
    "/srv/openssh": pem("OPENSSH PRIVATE KEY"),
    "/srv/pgp": pem("PGP PRIVATE KEY BLOCK"),
    "/srv/putty": "PuTTY-User-Key-File-3: ssh-ed25519\n",
    "/srv/store.p12": "x",
    "/root/.aws/credentials": "x",
    "/root/.aws/config": "[default]\naws_secret_access_key = x\n",
    "/root/.config/gcloud/application_default_credentials.json": "{}",
    "/root/.azure/accessTokens.json": "{}",
    "/root/.docker/config.json": "{}",
    "/root/.kube/config": "x",
    "/root/.config/containers/auth.json": "{}",
    "/root/.npmrc": "//registry/:_authToken=x\n",
    "/root/.pypirc": "x",
    "/root/.netrc": "x",
    "/root/.pgpass": "x",
    "/root/.my.cnf": "x",
    "/root/.git-credentials": "x",
    "/root/.vault-token": "x",
    "/root/.bash_history": "x",
    "/root/.python_history": "x",
    "/etc/shadow": "x",
    "/etc/gshadow-": "x",
}
HARMLESS: dict[str, str | bytes | None] = {
    "/etc/ssl/certs/ca-certificates.crt": pem("CERTIFICATE") * 9,
    "/usr/lib/python3/ssl_doc.py": f'"""A key is {DASHES}BEGIN PRIVATE KEY{DASHES}"""\n',
    "/srv/pub.pem": pem("PUBLIC KEY"),
    "/srv/id_ed25519.pub": "ssh-ed25519 AAAA",
    "/root/.aws/region": "x",
    "/home/u/.npmrc": "registry=https://registry.example\n",
    "/home/u/.aws/config": "[default]\nregion = eu-west-1\n",
    "/srv/passwd-shadow": "x",
    "/srv/etc/shadow": "x",
    "/srv/binary": b"\x7fELF\0-----BEGIN PRIVATE KEY-----\n",
    "/srv/empty": "",
}


def test_secrets_are_known_by_name_and_content(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {**SECRETS, **HARMLESS})
    selection = select(make_trace(top, [*SECRETS, *HARMLESS]), Root(str(top)), BuildOptions())
    kept = {path for path, line in describe_selection(selection).items() if line.startswith("file")}
    assert kept == set(HARMLESS)
    assert {item.path for item in selection.dropped} == set(SECRETS)
    (warning,) = selection.warnings
    assert warning.startswith("secrets are left out: /etc/gshadow- (passwords), /etc/shadow (")
    assert warning.endswith(f" and {len(SECRETS) - 20} more; --allow-secret GLOB includes them")
    assert "/home/u/.ssh" not in selection.entries  # a parent without files


def test_allow_secret_lets_one_in(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/srv/a.pem": pem("PRIVATE KEY"), "/etc/shadow": "x"})
    options = BuildOptions(allow_secret=("/srv/**",))
    selection = select(make_trace(top, ["/srv/a.pem", "/etc/shadow"]), Root(str(top)), options)
    assert "/srv/a.pem" in selection.entries
    assert selection.warnings == (
        "secrets are left out: /etc/shadow (passwords); --allow-secret GLOB includes them",
    )


def test_a_link_with_a_secrets_name_leads_to_a_secret(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/root/.netrc": "-> /srv/plain", "/srv/plain": "x"})
    selection = select(make_trace(top, ["/root/.netrc"]), Root(str(top)), BuildOptions())
    assert {item.path for item in selection.dropped} == {"/root/.netrc", "/srv/plain"}


def file(path: str, mode: int, owner: tuple[int, int] = (0, 0)) -> Entry:
    return Entry(path, Kind.FILE, mode, *owner, 0, causes=(TOUCHED,))


def folder(path: str, mode: int, owner: tuple[int, int] = (0, 0)) -> Entry:
    causes = (Cause(Reason.DIRECTORY, KeptPath(f"{path}/f")),)
    return Entry(path, Kind.DIRECTORY, mode, *owner, 0, causes=causes)


def tree(*entries: Entry) -> Selection:
    return Selection({entry.path: entry for entry in (folder("/", 0o755), *entries)})


NOBODY = (65532, 65532)

# summary, entries, user, what it cannot read, modes that --grant-read changes
ACCESS = [
    ("all open", [folder("/d", 0o755), file("/d/f", 0o644)], NOBODY, [], {}),
    ("uid 0 needs nothing", [folder("/d", 0), file("/d/f", 0)], (0, 0), [], {}),
    (
        "a closed directory",
        [folder("/root", 0o700), file("/root/a", 0o644), file("/root/b", 0o644)],
        NOBODY,
        ["/root is 0700 and owned by 0:0 (2 in it)"],
        {"/root": 0o705},
    ),
    ("a closed file", [file("/f", 0o640)], NOBODY, ["/f is 0640 and owned by 0:0"], {"/f": 0o644}),
    ("a program", [file("/f", 0o750)], NOBODY, ["/f is 0750 and owned by 0:0"], {"/f": 0o755}),
    ("the user's own", [file("/f", 0o600, NOBODY)], NOBODY, [], {}),
    (
        "the owner's bits decide",
        [file("/f", 0o044, NOBODY)],
        NOBODY,
        ["/f is 0044 and owned by 65532:65532"],
        {"/f": 0o444},
    ),
    (
        "the group's bits decide",
        [file("/f", 0o604, (0, 65532))],
        NOBODY,
        ["/f is 0604 and owned by 0:65532"],
        {"/f": 0o644},
    ),
    (
        "both",
        [folder("/d", 0o750), file("/d/f", 0o600)],
        NOBODY,
        ["/d is 0750 and owned by 0:0 (1 in it)"],
        {"/d": 0o755, "/d/f": 0o604},
    ),
]


@pytest.mark.parametrize(
    ("entries", "user", "bars", "granted"),
    [case[1:] for case in ACCESS],
    ids=[case[0] for case in ACCESS],
)
def test_access(
    tmp_path: Path,
    entries: list[Entry],
    user: tuple[int, int],
    bars: list[str],
    granted: dict[str, int],
) -> None:
    before = tree(*entries)
    top = make_root(
        tmp_path / "root", {e.path: "" if e.kind is Kind.FILE else None for e in entries}
    )
    opened = make_context(top, BuildOptions(grant_read=True), user)
    warnings = warn_of_access(before, opened).warnings
    assert [warning.partition(": ")[2].partition(";")[0] for warning in warnings] == bars
    after = grant_read(before, opened)
    modes = {p: e.mode for p, e in after.entries.items() if e.mode != before.entries[p].mode}
    assert modes == granted
    assert warn_of_access(after, opened).warnings == ()
    assert grant_read(before, make_context(top, BuildOptions(), user)) is before


def test_the_warning_names_five_and_the_way_out(tmp_path: Path) -> None:
    files = [file(f"/f{n}", 0o600) for n in range(7)]
    (warning,) = warn_of_access(tree(*files), make_context(tmp_path)).warnings
    assert warning.startswith("the image's user 65532:65532 cannot read 7 files: /f0 is 0600 and")
    assert "/f4" in warning
    assert "/f5" not in warning
    assert warning.endswith(
        "and 2 more; --grant-read makes the copies readable, --user chooses another user"
    )


@pytest.mark.parametrize(
    ("summary", "uses", "mode", "user", "is_warned"),
    [
        ("read by root", {Use.READ}, 0o600, "0:0", True),
        ("only looked at", {Use.STAT}, 0o600, "0:0", False),
        ("its mode only was changed", {Use.ATTR}, 0o600, "0:0", False),
        ("the run could not read it either", {Use.READ}, 0o600, "65532:65532", False),
        ("a group may have let it in", {Use.READ}, 0o640, "65532:65532", True),
    ],
)
def test_no_warning_of_what_no_run_could_read(
    tmp_path: Path, summary: str, uses: set[Use], mode: int, user: str, is_warned: bool
) -> None:
    top = make_root(tmp_path / "root", {"/etc/file": "x"}, **{"/etc/file": mode})
    own_or_root = os.stat(top / "etc/file").st_uid
    assert own_or_root != 65532
    trace = make_trace(top, {"/etc/file": uses}, user=user)
    warnings = select(trace, Root(str(top)), BuildOptions(user="65532:65532")).warnings
    assert any("cannot read 1 file" in warning for warning in warnings) is is_warned, summary


def test_a_run_that_changed_its_user_may_have_read_all(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/etc/file": "x"}, **{"/etc/file": 0o600})
    trace = make_trace(top, {"/etc/file": {Use.READ}}, user="65532:65532")
    trace = replace(trace, observed_syscalls=("setresuid",))
    (warning,) = select(trace, Root(str(top)), BuildOptions(user="65532:65532")).warnings
    assert "cannot read 1 file" in warning


def test_grant_read_never_opens_a_secret(tmp_path: Path) -> None:
    tree_of = {"/srv/a.pem": pem("PRIVATE KEY"), "/srv/f": "f", "/closed/b.pem": pem("PRIVATE KEY")}
    modes = {"/srv/a.pem": 0o600, "/srv/f": 0o600, "/closed": 0o700, "/closed/b.pem": 0o600}
    top = make_root(tmp_path / "root", tree_of, **modes)
    options = BuildOptions(allow_secret=("/**",), grant_read=True, user="65532:65532")
    selection = select(make_trace(top, list(tree_of)), Root(str(top)), options)
    assert {path: f"{selection.entries[path].mode:04o}" for path in modes} == {
        "/srv/a.pem": "0600",
        "/srv/f": "0604",
        "/closed": "0700",
        "/closed/b.pem": "0600",
    }
    assert "cannot read 2 files" in selection.warnings[0]


def test_find_secrets_reads_no_directory_and_no_pipe(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/d": None})
    os.mkfifo(top / "pipe")
    root = Root(str(top))
    entries = {path: root.entry(path, (TOUCHED,)) for path in ("/d", "/pipe")}
    assert find_secrets(root, Selection(entries)) == {}
