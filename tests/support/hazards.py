"""A hazard as a row of a table: a tracee, the tree it runs in, and the expected trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conftest import Trace, Tracee
    from traces import Traced

UNSUPPORTED_STATUS = 77


@dataclass(frozen=True)
class Hazard:
    """One tracee and the expected trace of the paths below its directory.

    :ivar expected: all paths, relative to the directory, each with its state and uses.
    :ivar gaps: all kinds of gap in the trace.
    :ivar expected_under: engine → entries that it records in addition to ``expected``.
    :ivar gaps_under: engine → all kinds of gap, for an engine that records other gaps.
    """

    summary: str
    tracee: str
    expected: Mapping[str, str]
    tree: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    status: int = 0
    gaps: frozenset[str] = frozenset()
    expected_under: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gaps_under: Mapping[str, frozenset[str]] = field(default_factory=dict)
    flags: Sequence[str] = ()


def parametrize_hazards(*hazards: Hazard) -> pytest.MarkDecorator:
    """Parametrize a test with hazards, named by their summaries."""
    return pytest.mark.parametrize("hazard", hazards, ids=lambda hazard: hazard.summary)


def check_hazard(hazard: Hazard, traced: Trace, tracee: Tracee) -> Traced:
    """Trace the hazard's program and compare; skip the test if this kernel cannot run it."""
    program = tracee(hazard.tracee, *hazard.flags)
    run = traced([program, ".", *hazard.arguments], tree=hazard.tree)
    skip_if_unsupported(run)
    engine = run.run["engine"]
    gaps = hazard.gaps_under.get(engine, hazard.gaps)
    assert (run.status, run.stderr if not gaps else "") == (hazard.status, "")
    assert run.touches() == {**hazard.expected, **hazard.expected_under.get(engine, {})}
    assert run.gaps() == gaps
    return run


def skip_if_unsupported(run: Traced) -> None:
    """Skip the test if the tracee reported that this kernel does not support it."""
    if run.status == UNSUPPORTED_STATUS:
        pytest.skip("this kernel cannot do it")
