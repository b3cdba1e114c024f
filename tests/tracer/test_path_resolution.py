"""Path resolution inside a root; tests/builder/root compares it with the kernel's."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from slimtrace.tracer.path_resolution import MAXSYMLINKS, LinkTarget, Walk, parent_path, walk
from slimtrace.tracer.sandbox.mountpoints import resolve_mountpoint

if TYPE_CHECKING:
    from pathlib import Path

TREE = {
    "/usr": "",
    "/usr/lib": "",
    "/lib": "usr/lib",
    "/etc": "",
    "/etc/abs": "/usr/lib",
    "/etc/out": "../../../usr",
    "/etc/gone": "/no/where",
    "/loop": "loop",
    **{f"/chain{number}": f"chain{number + 1}" for number in range(MAXSYMLINKS + 1)},
    f"/chain{MAXSYMLINKS + 1}": "",
}
"""Path to a symlink's target, or to "" for a directory."""


def look(directory: str, name: str, is_last: bool) -> str | LinkTarget | None:
    path = f"{directory}/{name}"
    target = TREE.get(path)
    return LinkTarget(target) if target else None if target is None else path


@pytest.mark.parametrize(
    ("path", "start", "walked"),
    [
        ("/", None, Walk("", (), ())),
        ("/usr//./lib/", None, Walk("/usr/lib", (), ())),
        ("/../../usr", None, Walk("/usr", (), ())),
        ("/lib", None, Walk("/usr/lib", (("", "lib"),), ())),
        ("/lib/..", None, Walk("/usr", (("", "lib"),), ())),
        ("/etc/abs", None, Walk("/usr/lib", (("/etc", "abs"),), ())),
        ("/etc/out/lib", None, Walk("/usr/lib", (("/etc", "out"),), ())),
        ("abs/..", "/etc", Walk("/usr", (("/etc", "abs"),), ())),
        ("/lib", "/etc", Walk("/usr/lib", (("", "lib"),), ())),
        ("/usr/no/such/", None, Walk("/usr", (), ("no", "such"))),
        ("/etc/gone/x", None, Walk("", (("/etc", "gone"),), ("no", "where", "x"))),
        ("/loop/x", None, Walk("", (("", "loop"),) * MAXSYMLINKS, ("loop", "x"))),
    ],
)
def test_walks(path: str, start: str | None, walked: Walk[str]) -> None:
    assert walk(path, "", parent_path, look, start) == walked


def test_forty_symlinks_are_the_limit() -> None:
    end = f"chain{MAXSYMLINKS + 1}"
    assert walk("/chain1", "", parent_path, look).node == f"/{end}"
    one_more = walk("/chain0", "", parent_path, look)
    assert (one_more.node, one_more.rest) == ("", (f"chain{MAXSYMLINKS}",))


def test_mount_points(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    links = {"link": "dir", "absolute": str(tmp_path / "dir"), "out": "../" * 40 + "etc"}
    links |= {"gone": "no/where", "loop": "loop"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    resolved = {
        "link": f"{tmp_path}/dir",
        "link/new/point": f"{tmp_path}/dir/new/point",
        "link/..": str(tmp_path),
        "absolute/x": f"{tmp_path}/dir/x",
        "gone/x": f"{tmp_path}/no/where/x",
        "out/x": "/etc/x",
    }
    for path, place in resolved.items():
        assert resolve_mountpoint(f"{tmp_path}/{path}") == place, path
    assert resolve_mountpoint("/") == "/"
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        resolve_mountpoint(f"{tmp_path}/loop/x")
