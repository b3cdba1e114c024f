"""An image that cannot start: its program is not in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, make_root
from tree_images import CONFIG

from slimtrace.builder.model import Selection
from slimtrace.builder.policy.start_program import warn_of_start
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

TREE = {"/usr/bin/app": "x", "/srv/run": "x", "/bin": "-> usr/bin", "/usr/bin/other": "x"}
KEPT = ("/usr/bin/app", "/srv/run", "/bin")


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "fact"),
    [
        (("/usr/bin/app",), (), None),
        (("app",), ("x",), None),
        ((), ("/bin/app", "x"), None),
        (("./run",), (), None),
        (("other",), (), "the image cannot start: its program other is not in it"),
        (("/nosuch",), ("app",), "the image cannot start: its program /nosuch is not in it"),
        ((), (), "the image starts nothing: its Entrypoint and Cmd are empty"),
    ],
)
def test_a_program_that_is_not_in_the_image(
    tmp_path: Path, entrypoint: tuple[str, ...], cmd: tuple[str, ...], fact: str | None
) -> None:
    root = Root(str(make_root(tmp_path / "root", TREE)))
    entries = {path: root.entry(path, (TOUCHED,)) for path in KEPT}
    config = replace(
        CONFIG, entrypoint=entrypoint, cmd=cmd, working_dir="/srv", env=("PATH=/nowhere:/usr/bin",)
    )
    warnings = warn_of_start(Selection(entries), root, config).warnings
    assert [warning.fact for warning in warnings] == ([] if fact is None else [fact])
