"""The value of ``-o``, and outputs that appear complete or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from repository import ROOT as REPOSITORY
from requirements import need
from tree_images import (
    CONFIG,
    interrupt_after,
    make_file_entry,
    make_tree_image,
    shared_folder,
    small_disk,
)

from slimtrace.builder.images.documents import make_image
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{}/missing/image.tar", "the folder {}/missing does not exist"),
        ("{}/file/image.tar", "{}/file is not a folder"),
        ("tar:{}/folder", "it is a directory"),
        ("tar:/dev/null", "it is not a regular file"),
        ("oci:{}/missing/dir", "the folder {}/missing does not exist"),
        ("oci:{}/folder", "it is not empty and not an OCI layout"),
        ("oci:{}/damaged", "its index.json is damaged"),
        ("oci:{}/file", "{}/file is not a folder"),
        ("rootfs:{}/folder", "it is not empty"),
        ("image.tar/", "cannot write to"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_refused_early(
    tmp_path: Path, text: str, cause: str
) -> None:
    (tmp_path / "file").touch()
    for name in ("folder", "damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.json").write_text('{"manifests": 5}')
    (tmp_path / "damaged/oci-layout").touch()
    with pytest.raises(SlimtraceError) as caught:
        parse_destination(text.format(tmp_path)).prepare()
    assert cause.format(tmp_path) in caught.value.message


NOT_WRITABLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.tracer.errors import SlimtraceError
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for text in sys.argv[2:]:
    try:
        parse_destination(text).prepare()
    except SlimtraceError as error:
        print(error)
"""


def test_a_folder_that_is_not_writable_is_refused_early() -> None:
    with shared_folder() as folder:
        (folder / "closed").mkdir(mode=0o555)
        forms = ("{}/closed/image.tar", "oci:{}/closed/dir", "oci:{}/closed", "rootfs:{}/closed")
        references = [form.format(folder) for form in forms]
        done = subprocess.run(
            [sys.executable, "-c", NOT_WRITABLE, REPOSITORY, *references],
            check=True,
            capture_output=True,
            text=True,
        )
        causes = [line.partition(": ")[2] for line in done.stdout.splitlines()]
        assert causes == [f"the folder {folder}/closed is not writable"] * len(forms)


@pytest.mark.parametrize(
    "text",
    [
        "{}/out.tar",
        "oci-archive:{}/out.tar",
        "docker-archive:{}/out.tar",
        "tar:{}/out.tar",
        "oci:{}/out",
        "rootfs:{}/out",
    ],
)
def test_a_full_disk_leaves_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(700_000))
    entries = [make_file_entry(tmp_path / "noise", f"/{number}") for number in range(3)]
    image = make_tree_image(entries, tmp_path / "work")
    with small_disk(tmp_path / "disk") as disk:
        if os.path.ismount(disk):
            destination = parse_destination(text.format(disk))
            with pytest.raises(SlimtraceError, match=r"^cannot write .*: No space left on device$"):
                destination.write(image, entries)
        elif "tar" in text:  # RLIMIT_FSIZE does not limit trees
            with pytest.raises(SlimtraceError, match=r"^cannot write .*: File too large$"):
                parse_destination(text.format(disk)).write(image, entries)
        assert os.listdir(disk) == []


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(700_000))
    small = make_tree_image([make_file_entry(tmp_path / "noise", size=700_000)], tmp_path / "work")
    entries = [make_file_entry(tmp_path / "noise", f"/{number}") for number in range(3)]
    image = make_tree_image(entries, tmp_path / "work")
    with small_disk(tmp_path / "disk") as disk:
        (disk / "out.tar").write_text("old")
        with pytest.raises(SlimtraceError, match="cannot write"):
            parse_destination(f"{disk}/out.tar").write(image, entries)
        assert os.listdir(disk) == ["out.tar"]
        assert (disk / "out.tar").read_text() == "old"
        if not os.path.ismount(disk):
            return
        os.unlink(disk / "out.tar")
        parse_destination(f"oci:{disk}/out:v1").write(small, ())
        before = {folder: sorted(names) for folder, _, names in os.walk(disk)}
        with pytest.raises(SlimtraceError, match="cannot write"):
            parse_destination(f"oci:{disk}/out:v1").write(image, entries)
        assert {folder: sorted(names) for folder, _, names in os.walk(disk)} == before


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(300 << 20)
    entries = [make_file_entry(tmp_path / "large", f"/{number}") for number in range(4)]
    image = make_tree_image(entries[:1], tmp_path / "work")
    (tmp_path / "out").mkdir()
    for text in ("rootfs:{}/out/tree", "docker-archive:{}/out/image"):
        with pytest.raises(KeyboardInterrupt), interrupt_after(0.1):
            parse_destination(text.format(tmp_path)).write(image, entries)
        assert os.listdir(tmp_path / "out") == []


def test_a_file_is_replaced_and_a_symlink_to_it_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    image = make_tree_image([make_file_entry(tmp_path / "file")], tmp_path / "work")
    (tmp_path / "real.tar").write_text("old")
    os.symlink("real.tar", tmp_path / "image.tar")
    destination = parse_destination(f"{tmp_path}/image.tar")
    destination.prepare()
    destination.write(image, ())
    assert os.readlink(tmp_path / "image.tar") == "real.tar"
    assert os.path.getsize(tmp_path / "real.tar") > 3
    assert os.stat(tmp_path / "real.tar").st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_without_skopeo_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlimtraceError) as caught:
        parse_destination("docker://x.org/app").prepare()
    assert caught.value.message == "cannot write docker://x.org/app: skopeo is not installed"
    assert caught.value.hint is not None


def test_what_skopeo_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("skopeo")
    (tmp_path / "auth.json").write_text("{}")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/auth.json")
    monkeypatch.chdir(tmp_path)
    image = make_tree_image([], tmp_path / "work")
    destination = parse_destination("docker://127.0.0.1:9/app:1")
    message = "cannot write docker://127.0.0.1:9/app:1: 127.0.0.1:9: connection refused"
    for attempt in (destination.prepare, lambda: destination.write(image, ())):
        with pytest.raises(SlimtraceError) as caught:
            attempt()
        assert caught.value.message == message


def test_a_configuration_that_json_cannot_hold(tmp_path: Path) -> None:
    layer = make_tree_image([], tmp_path / "work").layer
    with pytest.raises(SlimtraceError, match="cannot write the image's configuration: the command"):
        make_image(layer, replace(CONFIG, entrypoint=("/app", "\udcff")))
