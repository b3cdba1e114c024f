"""The slim image's Entrypoint, Cmd and user, beside those of its full image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root, make_run, make_trace
from engine import need_engine, podman, podman_run
from requirements import need_root
from small_images import make_slim, read_config, slimtrace_in, small_image

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.image_config import make_image_config
from slimtrace.builder.config.user import ImageUser, explain_user_change
from slimtrace.builder.model import Selection
from slimtrace.builder.root.base_config import BaseConfig
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

JOB = {"srv/job": "#!/bin/sh\necho job $*\n"}
IN_TWO = ("entrypoint=/bin/sh", "entrypoint=/srv/job", "cmd=one")


@pytest.mark.parametrize(
    ("command", "full", "options", "entrypoint", "cmd"),
    [
        ("sh job one", "sh job", {}, "sh job", "one"),
        ("sh job", "sh job", {}, "sh job", ""),
        ("sh job one", "", {}, "", "sh job one"),
        ("id -u", "sh job", {}, "", "id -u"),
        ("sh", "sh job", {}, "", "sh"),
        ("sh job one", "sh job", {"cmd": "two"}, "sh job", "two"),
        ("sh job one", "sh job", {"cmd": ""}, "sh job", ""),
        ("sh job one", "sh job", {"entrypoint": "id"}, "id", "one"),
        ("sh job one", "sh job", {"entrypoint": "sh"}, "sh", "job one"),
        ("sh job one", "sh job", {"entrypoint": ""}, "", "sh job one"),
        ("sh job one", "", {"entrypoint": "sh job"}, "sh job", "one"),
        ("sh job one", "", {"entrypoint": "/bin/sh"}, "/bin/sh", "job one"),
        ("sh job one", "", {"entrypoint": "id", "cmd": "-u"}, "id", "-u"),
        ("sh job one", "", {"cmd": "id -u"}, "", "id -u"),
    ],
)
def test_entrypoint_and_cmd(
    tmp_path: Path, command: str, full: str, options: dict[str, str], entrypoint: str, cmd: str
) -> None:
    top = make_root(tmp_path / "root", {"/app": ""})
    ran = make_trace(top, [], command=tuple(command.split()))
    wanted = BuildOptions(**{name: tuple(text.split()) for name, text in options.items()})  # type: ignore[arg-type]
    base = BaseConfig(entrypoint=tuple(full.split()))
    made = make_image_config(ran, Selection({}), (0, 0), wanted, base)
    assert (made.entrypoint, made.cmd) == (tuple(entrypoint.split()), tuple(cmd.split()))


@pytest.mark.parametrize(
    ("config", "words", "entrypoint", "cmd"),
    [
        (IN_TWO, (), ["/bin/sh", "/srv/job"], ["one"]),
        (IN_TWO, ("--", "two", "three"), ["/bin/sh", "/srv/job"], ["two", "three"]),
        (("cmd=/bin/sh", "cmd=/srv/job"), (), None, ["/bin/sh", "/srv/job"]),
        (("cmd=/bin/sh", "cmd=/srv/job"), ("--", "id", "-u"), None, ["id", "-u"]),
        (IN_TWO, ("--entrypoint", "id", "--", "-u"), None, ["id", "-u"]),
    ],
)
def test_runs_of_an_image(
    tmp_path: Path,
    config: tuple[str, ...],
    words: tuple[str, ...],
    entrypoint: list[str] | None,
    cmd: list[str],
) -> None:
    need_root()
    make_slim(tmp_path, small_image(tmp_path, JOB, *config), *words)
    made = read_config(f"oci:{tmp_path}/slim:v1")
    assert (made.get("Entrypoint"), made.get("Cmd")) == (entrypoint, cmd)


def test_arguments_do_what_they_did_in_the_full_image(tmp_path: Path) -> None:
    need_root()
    need_engine()
    name = "localhost/slim-image-config:v1"
    make_slim(tmp_path, small_image(tmp_path, JOB, *IN_TWO), build=("--include", "/bin/echo"))
    copied = podman("pull", "-q", f"oci:{tmp_path}/slim:v1")
    try:
        assert copied.returncode == 0, copied.stderr
        podman("tag", copied.stdout.strip(), name)
        assert podman_run(name).stdout == "job one\n"
        assert podman_run(name, "two", "three").stdout == "job two three\n"
    finally:
        podman("rmi", "-f", copied.stdout.strip())  # with each of its names


USERS = {"/etc/passwd": "web:x:33:44::/srv:/bin/sh\n"}


@pytest.mark.parametrize(
    ("full", "chosen", "options", "reason"),
    [
        (None, (0, 0), {}, None),
        ("web", (33, 44), {}, None),
        ("33", (33, 44), {}, None),
        (None, (65532, 65532), {}, "the app needed no privilege; --user 0:0 keeps"),
        ("web", (7, 8), {}, "the app ran as this user"),
        ("web", (9, 9), {"user": "9:9"}, "--user says so"),
    ],
)
def test_another_user_is_explained(
    tmp_path: Path,
    full: str | None,
    chosen: tuple[int, int],
    options: dict[str, str],
    reason: str | None,
) -> None:
    top = make_root(tmp_path / "root", USERS)
    ran = make_run(top, user="7:8")
    user, wanted = ImageUser(chosen), BuildOptions(**options)  # type: ignore[arg-type]
    line = explain_user_change(Root(str(top)), ran, user, full, wanted)
    if reason is None:
        assert line is None
    else:
        assert line is not None
        name = ":".join(map(str, chosen))
        assert line.startswith(f"the image's user is {name}, not {full or 'root'} as in the full ")
        assert reason in line


def test_build_prints_the_reason_once(tmp_path: Path) -> None:
    need_root()
    image = small_image(tmp_path, JOB, *IN_TWO)
    lines = make_slim(tmp_path, image).splitlines()
    (line,) = [line for line in lines if "the image's user is" in line]
    assert "65532:65532, not root" in line
    assert "warning" not in line
    again = slimtrace_in(tmp_path, "build", "app.trace", "-o", "x.tar", "--user", "0", "--json")
    assert "notes" not in again.stdout
