"""The debug image, which adds busybox: its destination and its contents."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from build_fixtures import compile_library, make_root, make_trace
from requirements import need

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.debug_image import add_busybox, find_busybox, make_debug_reference
from slimtrace.builder.config.image_config import make_image_config
from slimtrace.builder.images.reference import parse_reference
from slimtrace.builder.model import Reason
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.base_config import BaseConfig
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path

PLACES = [
    ("app.tar", None, "app-debug.tar", None),
    ("./a:b.tar", "app:v1", "./a:b-debug.tar", "app:v1-debug"),
    ("oci:app", None, "oci:app-debug", None),
    ("oci:app:v1", None, "oci:app:v1-debug", None),
    ("oci:app:latest", None, "oci:app:debug", None),
    ("oci:app", "team/app", "oci:app", "team/app:debug"),
    ("oci-archive:app.tar:v1", None, "oci-archive:app-debug.tar:v1-debug", None),
    ("docker-archive:app.tar:app:1", None, "docker-archive:app-debug.tar:app:1-debug", None),
    ("rootfs:tree/", None, "rootfs:tree-debug", None),
    ("tar:root.tar", None, "tar:root-debug.tar", None),
    ("docker://r.io:5000/app", None, "docker://r.io:5000/app:debug", None),
    ("docker://r.io:5000/app:latest", None, "docker://r.io:5000/app:debug", None),
    ("containers-storage:localhost/app:2", None, "containers-storage:localhost/app:2-debug", None),
]


@pytest.mark.parametrize(("destination", "tag", "beside", "as_tag"), PLACES)
def test_where_it_goes(destination: str, tag: str | None, beside: str, as_tag: str | None) -> None:
    assert make_debug_reference(parse_reference(destination).with_tag(tag)) == (
        parse_reference(beside).with_tag(as_tag)
    )


def test_what_it_has_besides(tmp_path: Path) -> None:
    need("busybox")
    top = make_root(tmp_path / "root", {"/app": ""})
    ran, root, options = make_trace(top, ["/app"]), Root(str(top)), BuildOptions()
    selection = select(ran, root, options)
    config = make_image_config(ran, selection, (65532, 65532), options, BaseConfig())
    program = find_busybox(config.architecture)
    more, changed = add_busybox(selection, config, program)
    added = {path: more.entries[path] for path in more.entries.keys() - selection.entries.keys()}
    assert {"/busybox", "/busybox/busybox", "/busybox/sh", "/busybox/ls"} <= added.keys()
    assert {entry.reasons for entry in added.values()} == {(Reason.DEBUG,)}
    assert added["/busybox/sh"].target == "busybox"
    assert changed.env == ("PATH=/usr/bin:/bin:/busybox",)
    assert (changed.cmd, changed.entrypoint, changed.user) == (
        *(config.cmd, config.entrypoint, config.user),
    )


def test_an_app_with_a_busybox_of_its_own(tmp_path: Path) -> None:
    need("busybox")
    top = make_root(tmp_path / "root", {"/busybox": ""})
    ran, root, options = make_trace(top, ["/busybox"]), Root(str(top)), BuildOptions()
    selection = select(ran, root, options)
    config = make_image_config(ran, selection, (0, 0), options, BaseConfig())
    with pytest.raises(SlimtraceError, match="the app has a /busybox of its own"):
        add_busybox(selection, config, find_busybox(config.architecture))


def test_a_busybox_that_will_not_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlimtraceError, match="there is no busybox"):
        find_busybox("amd64")
    (tmp_path / "busybox").write_text("#!/bin/sh\n")
    (tmp_path / "busybox").chmod(0o755)
    with pytest.raises(SlimtraceError, match=r"cannot read .*/busybox"):
        find_busybox("amd64")


def test_a_busybox_that_needs_a_loader_or_is_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("gcc", "busybox")
    static = os.path.realpath(shutil.which("busybox") or "")
    compile_library(tmp_path / "busybox", "-pie", "-Wl,--dynamic-linker=/lib/ld.so")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "busybox").chmod(0o755)
    with pytest.raises(SlimtraceError, match="is not static"):
        find_busybox("amd64")
    monkeypatch.setenv("PATH", os.path.dirname(static))
    with pytest.raises(SlimtraceError, match="and the image for s390x"):
        find_busybox("s390x")
