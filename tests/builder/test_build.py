"""``slimtrace build``: from a trace file to the image's config, the report and exit status."""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from build_fixtures import TIME, make_root, make_run, make_trace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.image_config import make_image_config
from slimtrace.builder.config.user import image_user
from slimtrace.builder.option_checks import check_options
from slimtrace.builder.pipeline import build, select
from slimtrace.builder.policy.healthcheck import warn_of_healthcheck
from slimtrace.builder.root.base_config import BaseConfig
from slimtrace.builder.root.root import Root
from slimtrace.main import make_services
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.trace.trace import ListeningPort

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from slimtrace.builder.model import ImageConfig
    from slimtrace.tracer.trace.trace import Trace

    Command = Callable[..., subprocess.CompletedProcess[str]]

RERUN = make_services().rerun
NOTE = (
    "the image's user is 65532:65532, not root as in the full image: the app needed no privilege; "
    "--user 0:0 keeps the full image's"
)
ACCOUNTS = "root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\nbroken\n"


def config(
    top: Path, the_trace: Trace, options: BuildOptions, base: BaseConfig | None = None
) -> ImageConfig:
    check_options(options)
    root = Root(str(top))
    user = image_user(root, the_trace.runs[0], options.user)
    selection = select(the_trace, root, options)
    return make_image_config(the_trace, selection, user, options, base or BaseConfig())


def test_the_configuration_is_the_runs(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/srv/app": "app"})
    env = {"B": "2", "A": "1"}
    the_trace = make_trace(
        top, ["/srv/app"], command=("./app", "-x", "y"), cwd="/srv", env=env, user="5:6"
    )
    the_trace = replace(the_trace, listening=(ListeningPort("tcp", 80), ListeningPort("udp", 53)))
    made = config(top, the_trace, BuildOptions(env=("B=3", "C=a=b")))
    assert (made.entrypoint, made.cmd) == ((), ("./app", "-x", "y"))
    assert (made.working_dir, made.user) == ("/srv", "5:6")
    assert made.env == ("A=1", "B=3", "C=a=b")
    assert made.exposed_ports == ("80/tcp", "53/udp")
    assert (made.architecture, made.created) == ("amd64", "2023-11-14T22:13:20Z")
    assert TIME == 1_700_000_000


def test_what_the_user_says_wins(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/f": "f"})
    the_trace = make_trace(top, ["/f"], command=("python3", "x"), env={}, machine="aarch64")
    options = BuildOptions(entrypoint=("/a",), cmd=(), source_date_epoch=60, labels=("a=b",))
    made = config(top, the_trace, options)
    assert (made.entrypoint, made.cmd, made.created) == (("/a",), (), "1970-01-01T00:01:00Z")
    assert (made.architecture, dict(made.labels)) == ("arm64", {"a": "b"})
    assert [word for word in made.env if word.startswith("PATH=/usr/local/sbin:")]


DOCUMENT = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "config": {
        "Env": ["PATH=/opt/bin", "LANG=C", "EMPTY=", "no pair"],
        "User": "www",
        "WorkingDir": "/elsewhere",
        "Entrypoint": ["/other"],
        "Cmd": ["thing"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Labels": {"a": "full", "b": "full"},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "probe", "-x"], "Interval": 30_000_000_000},
    },
    "rootfs": {"type": "layers", "diff_ids": []},
}


def test_the_full_images_configuration_is_carried_over(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/srv/app": "app"})
    base = BaseConfig.of(DOCUMENT)
    ran = make_trace(
        top, ["/srv/app"], command=("./app", "-x"), cwd="/srv", env={"LANG": "C.UTF-8"}, user="5:6"
    )
    ran = replace(ran, listening=(ListeningPort("tcp", 8080), ListeningPort("tcp", 80)))
    made = config(top, ran, BuildOptions(), base)
    assert made.env == ("EMPTY=", "LANG=C.UTF-8", "PATH=/opt/bin")
    assert (made.entrypoint, made.cmd, made.working_dir) == ((), ("./app", "-x"), "/srv")
    assert made.user == "5:6"
    assert set(made.exposed_ports) == {"80/tcp", "53/udp", "8080/tcp"}
    assert made.labels == {"a": "full", "b": "full"}
    assert (made.volumes, made.stop_signal) == (("/data",), "SIGQUIT")
    assert made.healthcheck == DOCUMENT["config"]["Healthcheck"]  # type: ignore[index]
    assert (made.architecture, made.variant) == ("arm64", "v8")
    own = BuildOptions(
        env=("PATH=/p",),
        workdir="/w",
        stop_signal="SIGINT",
        expose=("9", "10/udp"),
        volumes=("/data", "/more"),
        labels=("b=mine", "c="),
        healthcheck=False,
    )
    made = config(top, ran, own, base)
    assert made.env == ("EMPTY=", "LANG=C.UTF-8", "PATH=/p")
    assert (made.working_dir, made.stop_signal, made.healthcheck) == ("/w", "SIGINT", None)
    assert {"9/tcp", "10/udp"} < set(made.exposed_ports)
    assert made.volumes == ("/data", "/more")
    assert made.labels == {"a": "full", "b": "mine", "c": ""}


@pytest.mark.parametrize(
    "document", [{}, {"config": None}, {"config": []}, {"config": {"Env": {}, "Labels": [1]}}]
)
def test_a_configuration_of_wrong_types_is_an_empty_one(document: dict[str, object]) -> None:
    assert BaseConfig.of(document) == BaseConfig()


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (BuildOptions(expose=("0",)), "--expose 0"),
        (BuildOptions(expose=("80/",)), "--expose 80/"),
        (BuildOptions(expose=("80/icmp",)), "--expose 80/icmp"),
        (BuildOptions(workdir="srv"), "--workdir srv"),
        (BuildOptions(labels=("x",)), "--label x"),
        (BuildOptions(volumes=("data",)), "--volume data"),
        (BuildOptions(volumes=("",)), "--volume "),
        (BuildOptions(stop_signal="SIGBANANA"), "--stop-signal SIGBANANA"),
        (BuildOptions(stop_signal=""), "--stop-signal "),
        (BuildOptions(stop_signal="65"), "--stop-signal 65"),
        (BuildOptions(user="4294967295"), "--user 4294967295"),
        (BuildOptions(user="0:99999999999"), "--user 0:99999999999"),
        (BuildOptions(source_date_epoch=253_402_300_800), "253402300800 seconds since 1970"),
        (BuildOptions(source_date_epoch=10**30), "seconds since 1970"),
    ],
)
def test_wrong_options(tmp_path: Path, options: BuildOptions, cause: str) -> None:
    top = make_root(tmp_path / "root", {"/srv/app": "app"})
    with pytest.raises(UsageError, match=cause):
        config(top, make_trace(top, ["/srv/app"]), options)


def test_without_an_entrypoint_the_command_is_all_that_ran(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/srv/app": "app"})
    ran = make_trace(top, ["/srv/app"], command=("/srv/app", "-x"))
    made = config(top, ran, BuildOptions(entrypoint=()))
    assert (made.entrypoint, made.cmd) == ((), ("/srv/app", "-x"))
    made = config(top, ran, BuildOptions(entrypoint=(), cmd=("/y",)))
    assert (made.entrypoint, made.cmd) == ((), ("/y",))


@pytest.mark.parametrize("text", ["SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-2"])
def test_signals_are_as_engines_take_them(tmp_path: Path, text: str) -> None:
    top = make_root(tmp_path / "root", {"/srv/app": "app"})
    made = config(top, make_trace(top, ["/srv/app"]), BuildOptions(stop_signal=text))
    assert made.stop_signal == text


def test_a_table_of_users_without_an_end(tmp_path: Path) -> None:
    """It is read only up to a size limit, not as a whole."""
    top = make_root(tmp_path / "root", {"/etc/passwd": ACCOUNTS})
    os.truncate(top / "etc/passwd", 1 << 40)
    ran = make_trace(top, []).runs[0]
    assert image_user(Root(str(top)), ran, "web") == (33, 44)


@pytest.mark.parametrize(
    ("test", "warned"),
    [
        (["CMD", "/bin/probe"], None),
        (["CMD", "probe"], None),
        (["CMD", "curl", "-f", "http://localhost/a b"], "curl -f"),
        (["CMD-SHELL", "curl -f http://localhost || exit 1"], "/bin/sh -c"),
        (["NONE"], None),
        ("curl", None),
    ],
)
def test_a_healthcheck_that_cannot_run_is_warned_of(
    tmp_path: Path, test: object, warned: str | None
) -> None:
    tree = {"/bin": "-> usr/bin", "/usr/bin/probe": "p", "/usr/bin/curl": "c", "/usr/bin/sh": "s"}
    top = make_root(tmp_path / "root", tree)
    ran = make_trace(top, ["/bin/probe"], env={"PATH": "/sbin:/bin"})
    base = BaseConfig(healthcheck={"Test": test})
    root = Root(str(top))
    selection = select(ran, root, BuildOptions())
    made = warn_of_healthcheck(selection, root, config(top, ran, BuildOptions(), base))
    about = [warning for warning in made.warnings if "healthcheck" in warning]
    assert len(about) == (warned is not None)
    for warning in about:
        assert warned is not None
        assert warned in warning
        assert "--exec-in" in warning


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, (7, 8)),
        ("65532:65532", (65532, 65532)),
        ("33", (33, 44)),
        ("1000", (1000, 0)),
        ("web", (33, 44)),
        ("web:9", (33, 9)),
        ("0:staff", (0, 50)),
        ("broken", (0, 0)),  # as engines do
    ],
)
def test_users(tmp_path: Path, wanted: str | None, expected: tuple[int, int]) -> None:
    top = make_root(tmp_path / "root", {"/etc/passwd": ACCOUNTS, "/etc/group": "staff:x:50:\n"})
    assert image_user(Root(str(top)), make_run(top, user="7:8"), wanted) == expected


@pytest.mark.parametrize("wanted", ["nobody", "0:none", "", "-1"])
def test_users_that_there_are_not(tmp_path: Path, wanted: str) -> None:
    top = make_root(tmp_path / "root", {"/etc/passwd": ACCOUNTS})
    with pytest.raises(UsageError, match="cannot use --user"):
        image_user(Root(str(top)), make_run(top), wanted)


@pytest.mark.parametrize(
    "pattern",
    [
        {"include": ("/nosuch",)},
        {"exclude": ("/nosuch",)},
        {"drop_process": ("nosuch",)},
        {"only_process": ("/app", "nosuch")},
    ],
)
def test_a_pattern_that_matches_nothing_fails_if_asked(
    tmp_path: Path, pattern: dict[str, tuple[str, ...]]
) -> None:
    top = make_root(tmp_path / "root", {"/app": "12345"})
    write_trace(tmp_path / "t", top, "/app")
    options = BuildOptions(**pattern)  # type: ignore[arg-type]
    traces, out = [str(tmp_path / "t")], f"rootfs:{tmp_path}/slim"
    with pytest.raises(UsageError, match=r"cannot build: --.*nosuch'? matches no"):
        build(traces, out, replace(options, strict=True), RERUN)
    assert not (tmp_path / "slim").exists()
    assert any(
        "matches no" in each for each in build(traces, out, options, RERUN).selection.warnings
    )


def test_kept_files_are_those_of_the_full_image(tmp_path: Path, slimtrace: Command) -> None:
    """The build makes more files than this image has."""
    top = make_root(tmp_path / "root", {"/app": "12345"})
    write_trace(tmp_path / "t", top, "/app")
    done = slimtrace("build", str(tmp_path / "t"), "-o", f"rootfs:{tmp_path}/slim")
    assert "kept 1 of 1 file, 5 bytes of 5 bytes" in done.stderr
    assert (tmp_path / "slim/etc/passwd").exists()


def test_an_env_must_be_a_pair(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot use --env A: it is not NAME=VALUE"):
        build([], str(tmp_path / "x.tar"), BuildOptions(env=("A",)), RERUN)


def write_trace(path: Path, top: Path, *files: str) -> None:
    """A trace file as the tracer writes it."""
    lines: list[dict[str, object]] = [{"slimtrace": 1, "version": "0"}]
    one = make_run(top)
    names = ("cwd", "user", "env", "image", "image_digest", "started", "machine", "engine")
    values = {name: getattr(one, name) for name in names}
    lines.append({"run": {"command": list(one.command), **values, "first_process": 1}})
    lines.append({"process": 1, "parent": None, "exe": "/app", "argv": ["/app"]})
    for name in files:
        status = os.lstat(top / name.lstrip("/"))
        stat = [status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns]
        lines.append({"use": "read", "t": 0.1, "p": 1, "path": name, "was": "file", "stat": stat})
    end = {"seconds": 1.0, "exit_status": 0, "signal": None, "complete": True}
    lines.append({"end": end})
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def test_build_json_and_the_image(tmp_path: Path, slimtrace: Command) -> None:
    top = make_root(tmp_path / "root", {"/app": "12345", "/other": "123", "/etc/shadow": "s"})
    os.link(top / "app", top / "app2")
    write_trace(tmp_path / "t", top, "/app", "/app2", "/etc/shadow")
    target = tmp_path / "x.tar"
    done = slimtrace("build", str(tmp_path / "t"), "-o", str(target), "--json", "--no-baseline")
    assert (done.returncode, done.stderr) == (0, "")
    document = orjson.loads(done.stdout)
    image = document.pop("image")
    (layer,) = image["layers"]
    assert document == {
        "kept": {"files": 2, "bytes": 5},
        "dropped": {"files": 2, "bytes": 4},
        "full": {"files": 4, "bytes": 9},
        "reasons": {"skeleton": 5, "touched": 3},
        "warnings": [
            "secrets are left out: /etc/shadow (passwords); --allow-secret GLOB includes them",
        ],
        "notes": [NOTE],
    }
    assert image["destination"] == str(target)
    assert image["size"] == layer["size"]
    assert set(layer) == {"digest", "diff_id", "size"}
    with tarfile.open(target) as archive:
        assert "blobs/sha256/" + image["digest"].partition(":")[2] in archive.getnames()


def test_two_builds_have_one_digest(tmp_path: Path) -> None:
    top = make_root(tmp_path / "root", {"/app": "12345", "/lib": "-> usr", "/usr/x": "x"})
    write_trace(tmp_path / "t", top, "/app", "/usr/x")
    reports = [
        build([str(tmp_path / "t")], f"oci:{tmp_path}/{name}", BuildOptions(), RERUN)
        for name in ("a", "b")
    ]
    assert reports[0].written.image.digest == reports[1].written.image.digest
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "root", "t"]


def test_the_command_line(tmp_path: Path, slimtrace: Command) -> None:
    top = make_root(tmp_path / "root", {"/app": "12345", "/secret": "s"}, **{"/app": 0o600})
    write_trace(tmp_path / "t", top, "/app")
    tree = tmp_path / "slim"
    argv = ("--include", "/se*", "--exclude", "/secret", "--user", "65532:65532", "--grant-read")
    done = slimtrace("build", str(tmp_path / "t"), "-o", f"rootfs:{tree}", *argv, "--no-baseline")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "kept 1 of 2 files, 5 bytes of 6 bytes" in done.stderr
    assert (tree / "app").stat().st_mode & 0o777 == 0o604
    assert sorted(os.listdir(tree)) == ["app", "dev", "proc", "run", "sys", "tmp"]


def test_errors_have_one_line_and_a_status(tmp_path: Path, slimtrace: Command) -> None:
    top = make_root(tmp_path / "root", {"/app": "12345"})
    write_trace(tmp_path / "t", top, "/app")
    (top / "app").write_text("changed")
    for argv, status, message in (
        ((str(tmp_path / "t"), "-o", str(tmp_path / "x.tar")), 125, "changed since the run"),
        ((str(tmp_path / "none"), "-o", str(tmp_path / "x.tar")), 125, "cannot read"),
        ((str(tmp_path / "t"), "-o", "oci:"), 2, "cannot write to 'oci:': the path is missing"),
        ((str(tmp_path / "t"),), 2, "cannot build: -o DEST is missing"),
    ):
        done = slimtrace("build", *argv)
        assert done.returncode == status, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["root", "t"]


def test_a_destination_that_cannot_be_is_said_before_the_work(tmp_path: Path) -> None:
    write_trace(tmp_path / "t", make_root(tmp_path / "root", {"/app": "x"}), "/app")
    with pytest.raises(SlimtraceError, match=r"the folder .* does not exist"):
        build([str(tmp_path / "t")], str(tmp_path / "no/x.tar"), BuildOptions(), RERUN)
