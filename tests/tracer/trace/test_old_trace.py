"""A trace that exists when another is written: moved, overwritten, refused, or added to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from traces import check_failure, run_slimtrace

from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CHANGE = "cat a; echo {} > a"
"""The trace keeps a copy of ``a``, in its folder."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("0")
    return tmp_path


def run(folder: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = ("-q", "run", "-o", "x", *options, "--", "sh", "-c", script)
    return run_slimtrace(*arguments, cwd=str(folder))


def read_copies(trace: Path) -> list[str]:
    copies = []
    for saved in read_trace(str(trace)).saved.values():
        with open(saved.blob) as file:
            copies.append(file.read())
    return copies


def read_scripts(trace: Path) -> list[str]:
    return [each.command[-1] for each in read_trace(str(trace)).runs]


def test_the_trace_before_is_moved_with_its_copies(folder: Path) -> None:
    scripts = [CHANGE.format(number) for number in (1, 2, 3)]
    for script in scripts:
        assert run(folder, script).returncode == 0
    assert read_scripts(folder / "x") == scripts[2:]
    assert read_scripts(folder / "x.old") == scripts[1:2]
    assert (read_copies(folder / "x"), read_copies(folder / "x.old")) == (["2\n"], ["1\n"])
    assert sorted(os.listdir(folder)) == ["a", "x", "x.d", "x.old", "x.old.d"]


def test_a_trace_without_copies_takes_no_others_along(folder: Path) -> None:
    for script in (CHANGE.format(1), "true", "true"):
        assert run(folder, script).returncode == 0
    assert sorted(os.listdir(folder)) == ["a", "x", "x.old"]


def test_a_failed_run_does_not_block_the_next(folder: Path) -> None:
    assert run(folder, "exit 3").returncode == 3
    assert run(folder, "exit 0").returncode == 0
    assert (read_scripts(folder / "x.old"), read_scripts(folder / "x")) == (["exit 3"], ["exit 0"])


def test_force_keeps_nothing_and_no_clobber_everything(folder: Path) -> None:
    assert run(folder, CHANGE.format(1)).returncode == 0
    assert run(folder, "true", "--force").returncode == 0
    assert sorted(os.listdir(folder)) == ["a", "x"]
    done = run(folder, "touch ran", "--no-clobber")
    check_failure(done, 125, "x: it exists, and --no-clobber is given", "--append")
    assert sorted(os.listdir(folder)) == ["a", "x"]
    (folder / "x").unlink()
    assert run(folder, "exit 4", "--no-clobber").returncode == 4


def test_the_trace_stays_where_the_app_cannot_be_started(folder: Path) -> None:
    assert run(folder, "true").returncode == 0
    before = (folder / "x").read_bytes()
    done = run_slimtrace("run", "-o", "x", "--", "./a", cwd=str(folder))
    assert done.returncode == 126
    assert ((folder / "x").read_bytes(), os.path.lexists(folder / "x.old")) == (before, False)


@pytest.mark.parametrize(
    ("existing", "message"),
    [
        ({"x": "app"}, "cannot write {}/x: it exists and is no trace"),
        ({"x": '{"slimtrace":1}\n', "x.old": "app"}, "x.old exists and is no trace"),
        ({"x": '{"slimtrace":1}\n', "x.old/": ""}, "x.old exists and is no trace"),
    ],
)
def test_what_is_no_trace_is_never_moved(
    folder: Path, existing: dict[str, str], message: str
) -> None:
    for name, content in existing.items():
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_text(content)
    done = run(folder, "touch ran")
    check_failure(done, 125, message.format(folder), "--force")
    assert not (folder / "ran").exists()
    assert (folder / "x").read_text() == existing["x"]


def test_an_empty_file_and_a_link(folder: Path) -> None:
    """An empty file is no trace to keep; of a link, the link is moved."""
    (folder / "x").touch()
    assert run(folder, "true").returncode == 0
    assert not os.path.lexists(folder / "x.old")
    (folder / "x").rename(folder / "real")
    (folder / "x").symlink_to("real")
    assert run(folder, "exit 0").returncode == 0
    assert os.readlink(folder / "x.old") == "real"
    assert (read_scripts(folder / "real"), read_scripts(folder / "x")) == (["true"], ["exit 0"])


def test_a_folder_in_which_nothing_can_be_moved(
    folder: Path, unprivileged: tuple[str, ...]
) -> None:
    assert run(folder, "true").returncode == 0
    (folder / "x").chmod(0o666)
    for above in (folder, *folder.parents):
        if above.name.startswith(("pytest-", "popen-")) or above == folder:
            above.chmod(0o755 if unprivileged else 0o555)
    arguments = ("run", "-o", "x", "--", "touch", "ran")
    done = run_slimtrace(*arguments, cwd=str(folder), prefix=unprivileged)
    folder.chmod(0o755)
    check_failure(done, 125, "x.old: its directory is not writable", "--force")


class TestAppend:
    """``--append`` refuses at once what is of another image."""

    def test_another_image(self, folder: Path) -> None:
        assert run(folder, "true").returncode == 0
        (folder / "root").mkdir()
        done = run(folder, "true", "--append", "--image", "rootfs:root")
        check_failure(
            done,
            125,
            f"run 1 is of rootfs:/, this one of rootfs:{folder}/root",
            "name another trace with -o",
        )

    def test_another_machine(self, folder: Path) -> None:
        assert run(folder, "true").returncode == 0
        content = (folder / "x").read_bytes()
        (program,) = {each.exe for each in read_trace(str(folder / "x")).processes}
        size = os.stat(program).st_size
        (folder / "x").write_bytes(content.replace(b",%d," % size, b",%d," % (size + 1)))
        done = run(folder, "touch ran", "--append")
        check_failure(done, 125, f"{program} is another file now", "name another trace")
        assert not (folder / "ran").exists()

    def test_a_program_that_a_run_changed_itself(self, folder: Path) -> None:
        """It is no sign of another machine."""
        (folder / "tool").write_text("#!/bin/sh\necho '#!/bin/sh' > tool2; mv tool2 tool\n")
        (folder / "tool").chmod(0o755)
        assert run(folder, "./tool").returncode == 0
        assert run(folder, "true", "--append").returncode == 0
        assert len(read_scripts(folder / "x")) == 2

    def test_an_empty_file(self, folder: Path) -> None:
        (folder / "x").touch()
        assert run(folder, "true", "--append").returncode == 0
        assert read_scripts(folder / "x") == ["true"]
