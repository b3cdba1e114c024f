"""Whether it starts, in the usual way and with less than usual."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    Level,
    Rule,
    Start,
    Verdict,
    breaks,
    everywhere,
    holds,
    not_seen,
    only,
    skipped,
)
from slimtrace.builder.check.target_platform import HABITS, Platform

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import Facts
    from slimtrace.tracer.startup.trial import Tried


def _starts(start: Start, facts: Facts, _: Platform) -> Verdict:
    tried = facts.starts.get(start)
    if tried is None:
        usual = facts.starts.get(Start.USUAL)
        is_worse = usual is not None and usual.failure is not None
        return skipped("it does not start as usual either" if is_worse else facts.why_no_start)
    if tried.failure is not None:
        return breaks(tried.failure, lines=tried.lines)
    return holds(_how(tried) + (f" as {tried.user}" if start is not Start.READ_ONLY else ""))


def _how(tried: Tried) -> str:
    if tried.ready is None:
        return "a job: it ended with exit status 0"
    return f"it was ready after {tried.ready:.2f} s"


def _in_time(facts: Facts, platform: Platform) -> Verdict:
    tried = facts.starts.get(Start.USUAL)
    if tried is None or tried.ready is None:
        return not_seen(facts)
    own = HABITS[platform].startup or 0.0
    most = own if facts.asked.startup is None else facts.asked.startup
    found = f"it was ready after {tried.ready:.2f} s of {most:g}"
    return holds(found) if tried.ready <= most else breaks(found)


RULES = (
    Rule(
        "starts",
        everywhere(Level.FAIL),
        "It starts, and is ready in time or, a job, ends with 0.",
        "see what it lacks: slimtrace verify IMAGE --trace TRACE; --env, --volume and words after "
        "-- give it what the platform would; --ready says how it shows that it is ready",
        partial(_starts, Start.USUAL),
        Start.USUAL,
    ),
    Rule(
        "ready-in-time",
        only(
            Level.FAIL,
            *(platform for platform in Platform if HABITS[platform].startup is not None),
        ),
        "It is ready before the platform loses patience.",
        "do less before it listens, or allow more time: a startupProbe, app_start_timeout_sec, or "
        "--startup here",
        _in_time,
        Start.USUAL,
    ),
    Rule(
        "starts-read-only",
        only(Level.WARN, Platform.KUBERNETES, Platform.ISTIO, Platform.EDGE, Platform.DOCKER)
        | only(Level.FAIL, Platform.KNATIVE),
        "It starts under a root that cannot be written, but for /tmp and /run.",
        "let it write to /tmp, or mount a volume (emptyDir) where it writes",
        partial(_starts, Start.READ_ONLY),
        Start.READ_ONLY,
    ),
    Rule(
        "starts-unprivileged",
        everywhere(Level.WARN, kubernetes=Level.FAIL, knative=Level.FAIL, istio=Level.FAIL),
        "It starts without capabilities, and not as root (Pod Security Standards, restricted).",
        "let it need no root: a port above 1023, files that its user may read (--grant-read) and "
        "write (--grant-write)",
        partial(_starts, Start.UNPRIVILEGED),
        Start.UNPRIVILEGED,
    ),
    Rule(
        "starts-as-any-user",
        only(Level.WARN, Platform.KUBERNETES),
        "It starts as a user that no file knows, of group 0, as OpenShift has it.",
        "give what it reads and writes to group 0: chgrp 0, chmod g=u",
        partial(_starts, Start.ANY_USER),
        Start.ANY_USER,
    ),
)
