"""Scores how sufficient slim images are: how many answers are those of the full image."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from commands import SampleError, run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

LEVELS = ("touched", "closure", "app", "package")
"""The levels of ``build --keep``; each includes the one before it."""
_NO_QUESTIONS = {"start", "end"}


@dataclass(frozen=True, slots=True)
class Interview:
    """Questions that one start of both images answers.

    :ivar options: of ``compare``: how to start, and what to ask.
    :ivar arguments: what follows ``--``.
    """

    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredApp:
    """An app whose slim images are asked what no run asked.

    :ivar image: makes the full image in a folder; returns its reference.
    :ivar runs: the arguments of ``run`` for each traced run, without ``--image``.
    :ivar interviews: the questions, those of the runs included.
    :ivar build: more options for ``build``.
    :ivar volumes: where an empty folder of this machine is mounted.
    :ivar beside: what must run beside it; gets the full image.
    """

    name: str
    about: str
    image: Callable[[Path], str]
    runs: tuple[Interview, ...]
    interviews: tuple[Interview, ...]
    build: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    beside: Callable[[str], AbstractContextManager[None]] = field(
        default=lambda _: nullcontext(), repr=False
    )


@dataclass(frozen=True, slots=True)
class Score:
    """The result for one app at one level.

    :ivar same: how many answers are those of the full image, of ``answers``.
    :ivar size: bytes of the files, as the sizes of ``full``, those of the full image.
    :ivar seconds: what ``build`` took.
    :ivar lost: the questions with another answer.
    """

    same: int
    answers: int
    size: int
    full: int
    seconds: float
    lost: tuple[str, ...] = ()


def score(app: ScoredApp, levels: Sequence[str], work: Path) -> dict[str, Score]:
    """Trace an app, build it at each level, and compare each slim image with the full one.

    :param work: an empty folder; slimtrace's cache is in it.
    :raises SampleError: the app cannot be traced or built, or the full image does not start.
    """
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    full = app.image(work)
    trace = str(work / "app.trace")
    with ExitStack() as stack:
        stack.enter_context(app.beside(full))
        for run in app.runs:
            volumes = _make_volumes(app, work)
            _call("run", "--image", full, "-o", trace, "--append", *volumes, *_words(run))
        return {level: _score_level(app, full, trace, level, work) for level in levels}


def _score_level(app: ScoredApp, full: str, trace: str, level: str, work: Path) -> Score:
    slim = f"oci:{work}/{level}:latest"
    began = time.monotonic()
    text = _call("build", trace, "-o", slim, "--keep", level, "--json", *app.build)
    seconds = time.monotonic() - began
    built = json.loads(text)
    found: list[dict[str, Any]] = []
    for interview in app.interviews:
        volumes = _make_volumes(app, work)
        argv = ("compare", full, slim, "--json", *volumes, *_words(interview))
        done = run_slimtrace(*argv)
        if done.returncode not in (0, 1):
            raise SampleError(f"{app.name}: cannot compare {level}: {done.stderr[-2000:]}")
        found += json.loads(done.stdout)["questions"]
    asked = [each for each in found if each["question"] not in _NO_QUESTIONS]
    lost = tuple(each["question"] for each in asked if not each["same"])
    sizes = built["kept"]["bytes"], built["full"]["bytes"]
    return Score(len(asked) - len(lost), len(asked), *sizes, seconds, lost)


def _words(interview: Interview) -> tuple[str, ...]:
    return (*interview.options, *(("--", *interview.arguments) if interview.arguments else ()))


def _make_volumes(app: ScoredApp, work: Path) -> list[str]:
    """Empty folders, writable by all users, as a new volume of an engine is."""
    words = []
    for number, target in enumerate(app.volumes):
        place = work / "volumes" / str(number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        place.chmod(0o777)
        words += ["-v", f"{place}:{target}"]
    return words


def _call(*argv: str) -> str:
    done = run_slimtrace("-q", *argv)
    if done.returncode != 0:
        raise SampleError(f"slimtrace {argv[0]}: {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
