"""The files that every slim image has without a touch, and the image's user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.user import choose_user
from slimtrace.builder.model import Reason
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.contents import read_contents
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.trace import ListeningPort, Use

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from slimtrace.builder.model import Selection
    from slimtrace.tracer.trace.trace import Trace

World = dict[str, "str | bytes | None"]

DEBIAN: World = {
    "/app": "the app",
    "/lib": "-> usr/lib",
    "/usr/lib/os-release": "ID=debian\n",
    "/usr/lib/libc.so.6": "glibc",
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/etc/debian_version": "12.11\n",
    "/etc/lsb-release": "DISTRIB_ID=x\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
    "/etc/services": "http 80/tcp\n",
    "/etc/protocols": "tcp 6 TCP\n",
    "/etc/localtime": "-> /usr/share/zoneinfo/Europe/Paris",
    "/etc/timezone": "Europe/Paris\n",
    "/usr/share/zoneinfo/Europe/Paris": "TZif",
    "/usr/share/zoneinfo/Asia/Tokyo": "TZif",
    "/usr/share/zoneinfo/UTC": "TZif",
    "/etc/ssl/certs/ca-certificates.crt": "certificates",
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/srv:/bin/sh\n"
    "games:x:5:60::/usr/games:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
    "/etc/group": "root:x:0:\nwww:x:33:\ngames:x:60:\nnogroup:x:65534:\nstaff:x:50:www\n",
}


def select_paths(top: Path, *touched: str, of: Trace | None = None, **options: object) -> Selection:
    ran = of or make_trace(top, touched)
    return select(ran, Root(str(top)), BuildOptions(**options))  # type: ignore[arg-type]


def text(selection: Selection, path: str) -> str:
    return b"".join(read_contents(selection.entries[path])).decode()


def parts(selection: Selection) -> dict[str, set[str]]:
    """The paths of each part of the baseline."""
    names = {
        *(Reason.RELEASE, Reason.ACCOUNTS, Reason.NONROOT_HOME, Reason.NSSWITCH),
        *(Reason.CA_CERTIFICATES, Reason.TIME_ZONE, Reason.NETWORK_NAMES),
    }
    found: dict[str, set[str]] = {}
    for path, entry in selection.entries.items():
        for reason in names.intersection(entry.reasons):
            found.setdefault(reason.value, set()).add(path)
    return found


ALL = {
    "release": {"/usr/lib/os-release", "/etc/debian_version", "/etc/lsb-release"},
    "accounts": {"/etc/passwd", "/etc/group"},
    "nonroot-home": {"/home/nonroot"},
    "nsswitch": {"/etc/nsswitch.conf"},
    "ca-certificates": {"/etc/ssl/certs/ca-certificates.crt"},
    "time-zone": {"/etc/timezone", "/usr/share/zoneinfo/Europe/Paris"},
}


def test_the_parts_and_their_switches(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", DEBIAN)
    there = select_paths(top, "/app")
    assert parts(there) == ALL
    assert {"/etc/os-release", "/etc/localtime"} < there.entries.keys()
    home = there.entries["/home/nonroot"]
    assert (home.mode, home.uid, home.gid) == (0o700, 65532, 65532)
    for name in ALL:
        left = select_paths(top, "/app", without_rules=(name,))
        assert parts(left) == {key: paths for key, paths in ALL.items() if key != name}
    bare = select_paths(top, "/app", baseline=False)
    assert not parts(bare)
    assert "/etc" not in bare.entries


def test_a_part_that_there_is_not(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", DEBIAN)
    with pytest.raises(UsageError, match="there is no such rule"):
        select_paths(top, "/app", without_rules=("account",))


NONROOT = "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"


def test_accounts_of_an_app_that_reads_none(tmp_path: Path) -> None:
    """Root, nobody, nonroot and owners; without shells that are missing in the image."""
    top = make_root(tmp_path / "root", DEBIAN)
    there = select_paths(top, "/app", user="33")
    assert text(there, "/etc/passwd") == (
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "www:x:33:33::/srv:/sbin/nologin\n" + NONROOT + "nobody:x:65534:65534:nobody:/nonexistent:"
        "/sbin/nologin\n"
    )
    assert text(there, "/etc/group") == (
        "root:x:0:\nwww:x:33:\nnonroot:x:65532:\nnogroup:x:65534:\n"
    )
    assert "www" not in text(select_paths(top, "/app"), "/etc/passwd")


def test_accounts_of_an_app_that_reads_them(tmp_path: Path) -> None:
    """A trace does not show which users it looked up, so all are kept, and nonroot."""
    top = make_root(tmp_path / "root", DEBIAN)
    there = select_paths(top, "/app", "/etc/passwd")
    users, groups = str(DEBIAN["/etc/passwd"]), str(DEBIAN["/etc/group"])
    assert text(there, "/etc/passwd") == users + NONROOT
    assert there.entries["/etc/passwd"].reasons == (
        *(Reason.TOUCHED, Reason.NSS_MODULE, Reason.ACCOUNTS),
    )
    assert text(there, "/etc/group") == f"{groups}nonroot:x:65532:\n"
    known = {**DEBIAN, "/etc/passwd": users + NONROOT}
    there = select_paths(make_root(tmp_path / "known", known), "/etc/passwd")
    assert there.entries["/etc/passwd"].reasons == (Reason.TOUCHED, Reason.NSS_MODULE)


def test_accounts_where_the_full_image_has_none(tmp_path: Path) -> None:
    there = select_paths(make_root(tmp_path / "root", {"/app": ""}), "/app")
    assert text(there, "/etc/passwd").split() == [
        "root:x:0:0:root:/root:/sbin/nologin",
        NONROOT.strip(),
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin",
    ]
    assert text(there, "/etc/group").split() == ["root:x:0:", "nonroot:x:65532:", "nobody:x:65534:"]


def test_a_line_that_makes_no_sense_is_no_account(tmp_path: Path) -> None:
    table = b"root\n:x:0:0:::\nroot:x:zero:0::/:\nroot:x:0::::/:\n\xff:x:65534:1::/:/bin/sh\n"
    there = select_paths(make_root(tmp_path / "root", {"/app": "", "/etc/passwd": table}), "/app")
    written = b"".join(read_contents(there.entries["/etc/passwd"]))
    assert written.startswith(b"root:x:0:0:root:/root:/sbin/nologin\n")
    assert b"\xff:x:65534:1::/:/sbin/nologin\n" in written


def test_nsswitch_is_written_for_glibc_alone(tmp_path: Path) -> None:
    world = {path: what for path, what in DEBIAN.items() if path != "/etc/nsswitch.conf"}
    top = make_root(tmp_path / "root", world)
    there = select_paths(top, "/app", "/lib/libc.so.6")
    assert text(there, "/etc/nsswitch.conf") == "hosts: files dns\n"
    assert "/etc/nsswitch.conf" not in select_paths(top, "/app").entries


@pytest.mark.parametrize("path", ["/etc/resolv.conf", "/usr/lib/libnss_dns.so.2"])
def test_names_of_ports_for_those_who_resolve(tmp_path: Path, path: str) -> None:
    top = make_root(tmp_path / "root", {**DEBIAN, path: ""})
    assert parts(select_paths(top, "/app", path))["network-names"] == {
        "/etc/services",
        "/etc/protocols",
    }


def test_time_zones(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", DEBIAN)
    tokyo = "/usr/share/zoneinfo/Asia/Tokyo"
    for zone in ("Asia/Tokyo", ":Asia/Tokyo", tokyo):
        assert tokyo in select_paths(top, of=make_trace(top, ["/app"], env={"TZ": zone})).entries
    assert tokyo not in select_paths(top, of=make_trace(top, ["/app"], env={"TZ": "JST-9"})).entries
    every = parts(select_paths(top, "/app", all_zones=True))["time-zone"]
    assert every == {"/etc/timezone", *(path for path in DEBIAN if "zoneinfo" in path)}


# summary, changes to the trace, changes to the tree, the warning
NEEDS: list[tuple[str, dict[str, object], World, dict[str, int], str]] = [
    ("a port", {"listening": (ListeningPort("tcp", 80), ListeningPort("tcp", 8080))}, {}, {},
     "listens on port 80"),
    ("a call", {"observed_syscalls": ("setuid", "setsid", "openat")}, {}, {}, "calls setuid"),
    ("a change of owners", {"observed_syscalls": ("chown", "fchown")}, {}, {}, "calls chown"),
    ("a folder of root's in /tmp", {"created": "/tmp/app/log"}, {"/tmp/app": None}, {},
     "writes to /tmp/app/log"),
    ("a raw socket", {"arguments": {"socket": (2, 17)}}, {}, {}, "calls socket(AF_PACKET)"),
    ("a file of root's", {"read": "/etc/key"}, {"/etc/key": ""}, {"/etc/key": 0o600},
     "reads /etc/key"),
    ("a folder of root's", {"read": "/root/x"}, {"/root/x": ""}, {"/root": 0o700}, "reads /root"),
    ("made in a folder of root's", {"created": "/srv/new"}, {"/srv": None}, {},
     "writes to /srv/new"),
    ("state", {"created": "/run/app.pid"}, {}, {}, "writes to /run/app.pid"),
    ("a file that is written", {"write": "/srv/log"}, {"/srv/log": ""}, {}, "changes /srv/log"),
    ("attributes", {"attr": "/srv/log"}, {"/srv/log": ""}, {"/srv/log": 0o666},
     "changes /srv/log"),
    ("a file that is removed", {"delete": "/srv/log"}, {"/srv/log": ""}, {}, "changes /srv/log"),
]  # fmt: skip
FREE: list[tuple[str, dict[str, object], World, dict[str, int]]] = [
    ("a high port", {"listening": (ListeningPort("tcp", 8080),)}, {}, {}),
    ("a harmless call", {"observed_syscalls": ("setsid", "capget", "mountx")}, {}, {}),
    ("temporary files", {"created": "/tmp/a/b"}, {"/tmp": None}, {"/tmp": 0o1777}),
    (
        "what a JVM tidies up",
        {
            "created": "/tmp/hsperfdata_root/9",
            "delete": "/tmp/hsperfdata_root/8",
            "read": "/tmp/hsperfdata_root",
        },
        {"/tmp/hsperfdata_root/8": ""},
        {"/tmp/hsperfdata_root": 0o755},
    ),
    ("bytecode", {"created": "/app/__pycache__/m.cpython-311.pyc"}, {"/app": None}, {}),
    ("the kernel's", {"created": "/dev/shm/x", "write": "/proc/self/x"}, {}, {}),
    ("an open folder", {"created": "/srv/new"}, {"/srv": None}, {"/srv": 0o777}),
    ("an open file", {"write": "/srv/log"}, {"/srv/log": ""}, {"/srv/log": 0o666}),
    ("the group's alone", {"read": "/etc/key"}, {"/etc/key": ""}, {"/etc/key": 0o644}),
]


def make_root_trace(top: Path, what: Mapping[str, object], **changes: object) -> Trace:
    """A trace of a run as root with these touches."""
    uses = {"read": Use.READ, "write": Use.WRITE, "attr": Use.ATTR, "delete": Use.DELETE}
    touched = {str(what[name]): (use,) for name, use in uses.items() if name in what}
    created = [str(what["created"])] if "created" in what else []
    plain = {name: value for name, value in what.items() if name not in {*uses, "created"}}
    return replace(make_trace(top, touched, created=created, **changes), **plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(("what", "world", "modes", "message"), [case[1:] for case in NEEDS],
                         ids=[case[0] for case in NEEDS])  # fmt: skip
def test_the_user_stays_root_where_the_app_needs_it(
    tmp_path: Path, what: dict[str, object], world: World, modes: dict[str, int], message: str
) -> None:
    top = make_root(tmp_path / "root", {"/app/x": "", **world}, **modes)
    user = choose_user(make_root_trace(top, what), Root(str(top)), BuildOptions())
    assert user.ids == (0, 0)
    assert user.warning is not None
    assert f"stays root: the app {message};" in user.warning
    assert user.warning in select_paths(top, of=make_root_trace(top, what)).warnings
    named = choose_user(
        make_root_trace(top, what), Root(str(top)), BuildOptions(user="65532:65532")
    )
    assert named == ((65532, 65532), None)


@pytest.mark.parametrize(("what", "world", "modes"), [case[1:] for case in FREE],
                         ids=[case[0] for case in FREE])  # fmt: skip
def test_the_user_is_nobody_in_particular_where_it_does_not(
    tmp_path: Path, what: dict[str, object], world: World, modes: dict[str, int]
) -> None:
    top = make_root(tmp_path / "root", {"/app/x": "", **world}, **modes)
    assert choose_user(make_root_trace(top, what), Root(str(top)), BuildOptions()) == (
        (65532, 65532),
        None,
    )


def test_what_is_granted_or_open_in_a_volume_needs_no_root(tmp_path: Path) -> None:
    tree: World = {"/app/x": "", "/etc/key": "", "/srv": None}
    top = make_root(tmp_path / "root", tree, **{"/etc/key": 0o600})
    ran = make_root_trace(top, {"read": "/etc/key", "created": "/srv/new"})
    chosen = choose_user(ran, Root(str(top)), BuildOptions(grant_read=True, grant_write=True))
    assert chosen == ((65532, 65532), None)
    (top / "etc/key").chmod(0o644)
    ran = make_root_trace(top, {"read": "/etc/key"}, volumes=("/etc",))
    assert choose_user(ran, Root(str(top)), BuildOptions()) == ((65532, 65532), None)


def test_what_a_run_makes_in_a_volume(tmp_path: Path) -> None:
    """A new volume has the mode of the image's folder, or the mode during the run."""
    top = make_root(
        tmp_path / "root", {"/app/x": "", "/srv": None, "/open": None}, **{"/open": 0o777}
    )
    for folder, has_need in (("/srv", True), ("/open", False), ("/none", True)):
        ran = make_root_trace(top, {"created": f"{folder}/new"}, volumes=(folder,))
        user = choose_user(ran, Root(str(top)), BuildOptions())
        assert (f"{folder}/new" in (user.warning or "")) is has_need
    (top / "srv").chmod(0o777)
    ran = make_root_trace(top, {"read": "/srv", "created": "/srv/new"}, volumes=("/srv",))
    (top / "srv").chmod(0o755)
    assert choose_user(ran, Root(str(top)), BuildOptions()) == ((65532, 65532), None)


def test_a_file_of_roots_in_a_volume_needs_root(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/app/x": "", "/data/db": ""})
    for use, mode, named in (("write", 0o644, True), ("read", 0o600, True), ("read", 0o644, False)):
        (top / "data/db").chmod(mode)
        ran = make_root_trace(top, {use: "/data/db"}, volumes=("/data",))
        user = choose_user(ran, Root(str(top)), BuildOptions())
        assert ("/data/db" in (user.warning or "")) is named


def test_whom_the_full_image_names_stays(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/app/x": ""})
    ran = make_root_trace(top, {}, user="33:44")
    assert choose_user(ran, Root(str(top)), BuildOptions()) == ((33, 44), None)
