"""The words that add what a slim image lacked."""

from __future__ import annotations

import pytest

from slimtrace.builder.compare.comparison import list_includes
from slimtrace.builder.verify.missing_files import MissingFile

FOUR = [f"/srv/app/pages/{name}.html" for name in "abcd"]


@pytest.mark.parametrize(
    ("paths", "globs"),
    [
        ([], ()),
        (["/b", "/a/x"], ("/b", "/a/x")),
        (FOUR[:3], tuple(FOUR[:3])),
        (FOUR, ("/srv/app/pages/**",)),
        ([*FOUR, "/srv/app/pages/old/e.html"], ("/srv/app/pages/**",)),
        ([f"/usr/lib/{name}" for name in "abcd"], tuple(f"/usr/lib/{name}" for name in "abcd")),
        (["/app/[x]*?"], ("/app/[[]x][*][?]",)),
        ([path.replace("pages", "p*") for path in FOUR], ("/srv/app/p[*]/**",)),
    ],
)
def test_globs_that_add_missing_files(paths: list[str], globs: tuple[str, ...]) -> None:
    assert list_includes(MissingFile(path, path, ()) for path in paths) == globs


def test_links_on_the_way_come_too() -> None:
    items = [MissingFile("/bin/cat", "/bin/busybox", ()), MissingFile("/a/../b/c", "/b/c", ())]
    assert list_includes(items) == ("/b/c", "/bin/cat")
