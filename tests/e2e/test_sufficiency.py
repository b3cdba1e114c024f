"""The benchmark of sufficiency, with its quick apps: a level keeps what a lower one loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from requirements import need
from score_tables import format_apps, format_levels
from scored_app import Score, ScoredApp, score
from small_apps import list_small_apps

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("static-site", "shell-tool")


@pytest.mark.parametrize("name", QUICK)
def test_an_app_answers_what_no_run_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("busybox")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # the benchmark sets it
    tmp_path.chmod(0o755)
    (app,) = (each for each in list_small_apps() if each.name == name)
    scores = score(app, ("touched", "app"), tmp_path)
    assert 0 < scores["touched"].same < scores["touched"].answers  # else the app proves nothing
    assert scores["app"].lost == ()
    assert scores["app"].size < 1.1 * scores["touched"].size


def test_the_tables() -> None:
    scores = {
        "a": {
            "touched": Score(1, 2, 10**6, 4 * 10**6, 1.5),
            "app": Score(2, 2, 10**6, 4 * 10**6, 2),
        },
        "b": {
            "touched": Score(3, 3, 10**6, 6 * 10**6, 1),
            "app": Score(3, 3, 2 * 10**6, 6 * 10**6, 1),
        },
    }
    assert format_levels(scores).splitlines()[2:] == [
        "| `touched` | 4 of 5 (80 %) | 1 of 2 | 10 → 2 | 2 |",
        "| `app` | 5 of 5 (100 %) | 2 of 2 | 10 → 3 | 3 |",
    ]
    assert format_apps(scores).splitlines()[2] == (
        "| a | 4.0 MB | 1/2, 1.0 MB, 1.5 s | 2/2, 1.0 MB, 2.0 s |"
    )


def test_each_app_has_a_name_of_its_own() -> None:
    apps: tuple[ScoredApp, ...] = list_small_apps()
    assert len({app.name for app in apps}) == len(apps)
    assert {*QUICK} <= {app.name for app in apps}
