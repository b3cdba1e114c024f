"""The last lines of a build: what the image is likely to lack, and what adds it."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from build_fixtures import make_root, make_trace
from requirements import need_root
from roots import busybox_root
from traces import run_slimtrace

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.closure.rules.data.family import BOUND
from slimtrace.builder.model import Keep
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.builder.suggest.omissions import find_omissions

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def test_what_a_limit_stopped_comes_first_and_once(tmp_path: Path) -> None:
    """Its warning says what it is; a file of its folder has no line of its own."""
    tree: dict[str, str | bytes] = {f"/data/rain/{at}.csv": "" for at in range(BOUND.files + 2)}
    tree |= {"/srv/app/main.sh": "#!/bin/sh\nsort /data/rain/7.csv\n", "/usr/bin/sort": "12"}
    top = make_root(tmp_path / "root", tree)
    trace = make_trace(top, ["/srv/app/main.sh", "/data/rain/1.csv"])
    root = Root(str(top))
    # own-folder would keep all of it: it has a higher limit.
    options = BuildOptions(keep=Keep.APP, without_rules=("own-folder",))
    selection = select(trace, root, options)
    found = [(each.path, each.files, each.size) for each in find_omissions(trace, root, selection)]
    assert found == [("/data/rain", BOUND.files + 2, 0), ("/usr/bin/sort", 1, 2)]
    assert sum("/data/rain is too large" in warning for warning in selection.warnings) == 1
    whole = select(trace, root, BuildOptions(keep=Keep.APP))
    assert not [warning for warning in whole.warnings if "too large" in warning]


SCRIPT = """
cat one.txt
if [ -n "$LATE" ]; then cat %s; fi
"""


def build(trace: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_slimtrace("build", trace, "-o", f"rootfs:{folder}", "--keep", "closure", *options)


def test_a_build_ends_with_at_most_five_lines(tmp_path: Path) -> None:
    """The words of the lines add the files; then nothing is lacking any more. JSON has them too."""
    need_root()
    names = [f"late-{letter}.d/{letter}.txt" for letter in "abcdefg"]
    full = busybox_root(tmp_path / "full")
    app = full / "srv"
    others = [f"late-{letter}.d/other.bin" for letter in "abcdefg"]
    make_root(app, {**dict.fromkeys(names, "12345"), **dict.fromkeys(others, ""), "one.txt": "1"})
    (app / "main.sh").write_text(SCRIPT % " ".join(f"'{name}'" for name in names))
    trace = str(tmp_path / "app.trace")
    run = run_slimtrace(
        *("-q", "run", "--image", f"rootfs:{full}", "--workdir", "/srv", "-o", trace),
        *("--", "/bin/sh", "main.sh"),
    )
    assert run.returncode == 0, run.stderr
    done = build(trace, tmp_path / "slim")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "may be lacking" in line]
    assert len(lines) == 5, done.stderr
    assert lines[0] == (
        f"slimtrace: may be lacking (5 bytes, named in /srv/main.sh): --include /srv/{names[0]}"
    )
    assert lines[4].endswith("; 2 more: slimtrace suggest")
    assert done.stderr.splitlines()[-6:-1] == lines
    assert "next: " in done.stderr.splitlines()[-1]
    words = [word for line in lines[:4] for word in shlex.split(line.rpartition("): ")[2])]
    done = build(trace, tmp_path / "slim-1", "--json", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["suggestions"]
    assert [each["path"] for each in found] == [f"/srv/{name}" for name in names[4:]]
    assert found[0].keys() == {"path", "why", "files", "bytes"}
    words += [word for each in found for word in ("--include", each["path"])]
    done = build(trace, tmp_path / "slim-2", "--json", *words)
    assert "suggestions" not in json.loads(done.stdout)
