"""What Python's files imply: twins, metadata, and what modules import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from worlds import dump, plant

from builder.closure.expand import Wanted, expand
from builder.closure.need import Surroundings
from builder.closure.rules import rules_of
from builder.images.root import Root
from builder.model import Keep, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def implied(
    top: Path,
    touched: Iterable[str],
    reason: Reason | None = None,
    *,
    listed: Iterable[str] = (),
    without: tuple[str, ...] = (),
) -> set[str]:
    """What is kept for this reason alone, or for any but that it was touched."""
    wanted = [Wanted(path, Reason.TOUCHED, load=True) for path in touched]
    wanted += [Wanted(path, Reason.TOUCHED, is_listed=True) for path in listed]
    around = Surroundings(("/usr/bin",), (), "/")
    selection = expand(Root(str(top)), wanted, around, rules_of(Keep.CLOSURE, without))
    found = {path: line.split()[-1] for path, line in dump(selection).items()}
    return {path for path, why in found.items() if why == (reason or why) != Reason.TOUCHED}


SITE = "/usr/lib/python3.11/site-packages"

# summary, files beside, what is touched, what that brings
TWINS: list[tuple[str, str, str, str]] = [
    ("a source", "a.py __pycache__/a.cpython-311.pyc", "a.py", "__pycache__/a.cpython-311.pyc"),
    (
        "a compiled file",
        "a.py __pycache__/a.cpython-311.pyc",
        "__pycache__/a.cpython-311.pyc",
        "a.py",
    ),
    ("an interpreter that did not run", "a.py __pycache__/a.cpython-312.pyc", "a.py", ""),
    ("an optimization that did not run", "a.py __pycache__/a.cpython-311.opt-1.pyc", "a.py", ""),
    (
        "optimized",
        "a.py __pycache__/a.cpython-311.opt-2.pyc",
        "__pycache__/a.cpython-311.opt-2.pyc",
        "a.py",
    ),
    ("PyPy's", "a.py __pycache__/a.pypy39.pyc", "__pycache__/a.pypy39.pyc", "a.py"),
    ("beside its source", "a.py a.pyc", "a.pyc", "a.py"),
    (
        "a dot in the name",
        "a.b.py __pycache__/a.b.cpython-311.pyc",
        "a.b.py",
        "__pycache__/a.b.cpython-311.pyc",
    ),
    ("no twin", "a.py", "a.py", ""),
    ("no source", "__pycache__/a.cpython-311.pyc", "__pycache__/a.cpython-311.pyc", ""),
]


@pytest.mark.parametrize(
    ("files", "touched", "brought"), [case[1:] for case in TWINS], ids=[case[0] for case in TWINS]
)
def test_twins(tmp_path: Path, files: str, touched: str, brought: str) -> None:
    tree = {f"/app/{name}": "" for name in files.split()}
    ran = "/lib/__pycache__/site.cpython-311.pyc"
    top = plant(tmp_path / "root", {**tree, ran: ""})
    found = implied(top, [f"/app/{touched}", ran], Reason.PYTHON_TWIN)
    assert found == {f"/app/{name}" for name in brought.split()}


DISTRIBUTIONS: list[tuple[str, Mapping[str, str], str, str]] = [
    (
        "RECORD names the file",
        {"Big-1.dist-info/RECORD": "b/a.py,sha256=x,1\nb/c.py\n", "o-1.dist-info/RECORD": "o.py,,"},
        "b/a.py",
        "Big-1.dist-info Big-1.dist-info/RECORD",
    ),
    (
        "two distributions in one namespace",
        {"g-x-1.dist-info/RECORD": "g/x.py,,\n", "g-y-1.dist-info/RECORD": "g/y.py,,\n"},
        "g/y.py",
        "g-y-1.dist-info g-y-1.dist-info/RECORD",
    ),
    (
        "a comma and quotes in the name",
        {"x-1.dist-info/RECORD": '"x/a,b.py",,\n'},
        "x/a,b.py",
        "x-1.dist-info x-1.dist-info/RECORD",
    ),
    (
        "all of it, and what lies deeper",
        {"x-1.dist-info/RECORD": "x.py,,\n", "x-1.dist-info/licenses/MIT": ""},
        "x.py",
        "x-1.dist-info x-1.dist-info/RECORD x-1.dist-info/licenses x-1.dist-info/licenses/MIT",
    ),
    (
        "installed-files.txt of an egg",
        {"X-1.egg-info/installed-files.txt": "../odd/x.py\na\n", "X-1.egg-info/PKG-INFO": "x"},
        "odd/x.py",
        "X-1.egg-info X-1.egg-info/installed-files.txt X-1.egg-info/PKG-INFO",
    ),
    (
        "Debian: no list of files, names of modules",
        {"PyYAML-6.egg-info/top_level.txt": "_yaml\nyaml\n", "PyYAML-6.egg-info/PKG-INFO": ""},
        "yaml/a.py",
        "PyYAML-6.egg-info PyYAML-6.egg-info/PKG-INFO PyYAML-6.egg-info/top_level.txt",
    ),
    ("a file, by its name", {"my.x-1-py3.11.egg-info": "x"}, "my_x.py", "my.x-1-py3.11.egg-info"),
    ("another's", {"other-1.dist-info/RECORD": "other.py,,\n"}, "x.py", ""),
    (
        "metadata that is only read",
        {"x-1.dist-info/RECORD": "x-1.dist-info/METADATA,,\n", "x-1.dist-info/METADATA": ""},
        "x-1.dist-info/METADATA",
        "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "touched", "brought"),
    [case[1:] for case in DISTRIBUTIONS],
    ids=[case[0] for case in DISTRIBUTIONS],
)
def test_metadata(tmp_path: Path, files: Mapping[str, str], touched: str, brought: str) -> None:
    tree = {f"{SITE}/{touched}": "", **{f"{SITE}/{name}": text for name, text in files.items()}}
    top = plant(tmp_path / "root", tree)
    selection = expand(
        Root(str(top)),
        [Wanted(f"{SITE}/{touched}", Reason.TOUCHED)],
        Surroundings((), (), "/"),
        rules_of(Keep.CLOSURE),
    )
    found = {
        path for path, each in selection.entries.items() if Reason.PYTHON_METADATA in each.reasons
    }
    assert found == {f"{SITE}/{name}" for name in brought.split()}
