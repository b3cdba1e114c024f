"""Names that a run creates, moves, exchanges and deletes, and their paths in the full image."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from slimtrace.tracer.record.renames import Renames

Step = tuple[object, ...]


def after(*steps: Step) -> Renames:
    """Return the state after these calls, such as ``("move", b"/a", b"/b")``."""
    renames = Renames()
    for name, *arguments in steps:
        match name, arguments:
            case "create", [bytes(path)]:
                renames.create(path)
            case "move", [bytes(old), bytes(new)]:
                renames.move(old, new, is_original=True)
            case "move made", [bytes(old), bytes(new)]:
                renames.move(old, new, is_original=False)
            case "exchange", [bytes(one), bytes(other)]:
                renames.exchange(one, other, (True, True))
            case "exchange made", [bytes(one), bytes(other)]:
                renames.exchange(one, other, (False, True))
            case "delete", [bytes(path)]:
                renames.delete(path, is_created_file=False)
            case "delete made", [bytes(path)]:
                renames.delete(path, is_created_file=True)
            case _:
                raise AssertionError(name)
    return renames


@pytest.mark.parametrize(
    ("summary", "steps", "path", "origin"),
    [
        ("untouched", [], b"/a", None),
        ("moved", [("move", b"/a", b"/b")], b"/b", b"/a"),
        ("below it", [("move", b"/a", b"/b")], b"/b/c/d", b"/a/c/d"),
        ("its old name", [("move", b"/a", b"/b")], b"/a/c", None),
        ("a name that begins alike", [("move", b"/a", b"/b")], b"/bc", None),
        ("twice", [("move", b"/a", b"/b"), ("move", b"/b", b"/c")], b"/c/d", b"/a/d"),
        ("twice, between", [("move", b"/a", b"/b"), ("move", b"/b", b"/c")], b"/b/d", None),
        ("back", [("move", b"/a", b"/b"), ("move", b"/b", b"/a")], b"/a/d", None),
        ("out of one", [("move", b"/a", b"/b"), ("move", b"/b/c", b"/d")], b"/d/e", b"/a/c/e"),
        ("into one", [("move", b"/a/b", b"/c/b"), ("move", b"/c", b"/d")], b"/d/b/f", b"/a/b/f"),
        ("beside it", [("move", b"/a/b", b"/c/b"), ("move", b"/c", b"/d")], b"/d/f", b"/c/f"),
        (
            "home within another",
            [("move", b"/a/b", b"/c/b"), ("move", b"/c", b"/a")],
            b"/a/b/f",
            b"/a/b/f",
        ),
        (
            "into a made one",
            [("move", b"/a", b"/n/a"), ("move made", b"/n", b"/m")],
            b"/m/a",
            b"/a",
        ),
        ("a made one", [("move made", b"/n", b"/m")], b"/m/f", None),
        ("over another", [("move", b"/a", b"/b"), ("move", b"/c", b"/b")], b"/b/f", b"/c/f"),
        ("deleted", [("move", b"/a", b"/b"), ("delete", b"/b")], b"/b/f", None),
        ("deleted above", [("move", b"/a", b"/b/c"), ("delete", b"/b")], b"/b/c", None),
        ("exchanged", [("exchange", b"/a", b"/b")], b"/a/f", b"/b/f"),
        ("exchanged, other", [("exchange", b"/a", b"/b")], b"/b/f", b"/a/f"),
        ("exchanged twice", [("exchange", b"/a", b"/b")] * 2, b"/a/f", None),
        ("for a made one", [("exchange made", b"/n", b"/b")], b"/n/f", b"/b/f"),
        ("the made one", [("exchange made", b"/n", b"/b")], b"/b/f", None),
        (
            "moved into one that is exchanged",
            [("move", b"/c", b"/a/c"), ("exchange", b"/a", b"/b")],
            b"/b/c/f",
            b"/c/f",
        ),
    ],
)
def test_the_path_in_the_full_image(
    summary: str, steps: list[Step], path: bytes, origin: bytes | None
) -> None:
    assert after(*steps).find_origin(path) == origin, summary


@pytest.mark.parametrize(
    ("old", "new", "is_back"),
    [(b"/b", b"/a", True), (b"/b", b"/c", False), (b"/b/d", b"/a/d", True)],
)
def test_a_directory_is_moved_back(old: bytes, new: bytes, is_back: bool) -> None:
    renames = after(("move", b"/a", b"/b"))
    assert renames.move(old, new, is_original=True) is is_back


def test_a_directory_that_was_moved_back_is_forgotten() -> None:
    assert after(("move", b"/a", b"/b"), ("move", b"/b", b"/a")).moved == {}
    assert after(*[("exchange", b"/a", b"/b")] * 2).moved == {}


@pytest.mark.parametrize(
    ("steps", "path", "expected"),
    [
        ([], b"/n", False),
        ([("create", b"/n")], b"/n", True),
        ([("create", b"/n")], b"/n/deep/er", True),
        ([("create", b"/n")], b"/no", False),
        ([("create", b"/n/m")], b"/n", False),
        ([("create", b"/n"), ("delete made", b"/n")], b"/n", False),
        ([("create", b"/n"), ("delete", b"/n")], b"/n/m", True),
    ],
)
def test_paths_that_the_run_created(steps: list[Step], path: bytes, expected: bool) -> None:
    assert after(*steps).is_created(path) is expected


def test_the_first_name_of_a_hard_link() -> None:
    renames = Renames()
    renames.link((1, 2), b"/a")
    assert renames.find_linked_name((1, 2)) == b"/a"
    assert renames.find_linked_name((1, 3)) is None


# Against a model


@dataclass
class Directory:
    """A directory of the model tree.

    :ivar origin: its path in the full image; None if the run created it.
    """

    origin: bytes | None
    entries: dict[bytes, Directory]


def full_image() -> Directory:
    """Make a tree with two levels of directories, with the names that all calls use."""
    below = {
        name: Directory(
            b"/" + name,
            {inner: Directory(b"/%b/%b" % (name, inner), {}) for inner in NAMES},
        )
        for name in NAMES
    }
    return Directory(b"/", below)


def every(directory: Directory, path: bytes = b"") -> list[tuple[bytes, Directory]]:
    """Yield each directory below this one, with its path."""
    found = []
    for name, entry in directory.entries.items():
        found += [(path + b"/" + name, entry), *every(entry, path + b"/" + name)]
    return found


def find(root: Directory, path: bytes) -> tuple[Directory, bytes] | None:
    """Return the parent directory of a path, and the path's last component."""
    *above, name = path[1:].split(b"/")
    for each in above:
        if each not in root.entries:
            return None
        root = root.entries[each]
    return root, name


NAMES = (b"a", b"b", b"c")
paths = some.lists(some.sampled_from(NAMES), min_size=1, max_size=3).map(
    lambda parts: b"/" + b"/".join(parts)
)
calls = some.lists(
    some.tuples(
        some.sampled_from(("mkdir", "rename", "rename", "exchange", "rmdir")), paths, paths
    ),
    max_size=12,
)


def is_within(one: bytes, other: bytes) -> bool:
    return (one + b"/").startswith(other + b"/")


def make_call(root: Directory, renames: Renames, kind: str, path: bytes, new: bytes) -> None:
    """Make a call in the model as the kernel would; if it succeeds, report it to ``renames``."""
    at, to = find(root, path), find(root, new)
    if at is None or to is None:
        return  # ENOENT
    (parent, name), (new_parent, new_name) = at, to
    entry, other = parent.entries.get(name), new_parent.entries.get(new_name)
    if kind == "mkdir" and entry is None:
        parent.entries[name] = Directory(None, {})
        renames.create(path)
    if entry is None:
        return
    is_original = entry.origin is not None
    if kind == "rmdir" and not entry.entries:
        del parent.entries[name]
        renames.delete(path, is_created_file=False)
    elif kind == "rename" and not is_within(new, path) and not (other and other.entries):
        assert renames.move(path, new, is_original=is_original) is (entry.origin == new)
        del parent.entries[name]
        new_parent.entries[new_name] = entry
    elif kind == "exchange" and other and not (is_within(path, new) or is_within(new, path)):
        renames.exchange(path, new, (is_original, other.origin is not None))
        parent.entries[name], new_parent.entries[new_name] = other, entry


@settings(max_examples=300, deadline=None)
@given(calls)
def test_any_sequence_of_calls(sequence: list[tuple[str, bytes, bytes]]) -> None:
    """The original path is known for every directory of the full image, after any calls."""
    root, renames = full_image(), Renames()
    for call in sequence:
        make_call(root, renames, *call)
    for path, directory in every(root):
        if directory.origin is not None:
            for below in (b"", b"/file"):
                name, origin = path + below, directory.origin + below
                assert (renames.find_origin(name) or name) == origin
